"""The log, written and read from Python, and a template."""

import llm

template = llm.Template(name="t", prompt="Hello $name", defaults={"name": "you"})
prompt, system = template.evaluate("", {"name": "Ada"})
variables: set[str] = template.vars()
with llm.Database("talks.db") as db:
    response = llm.get_model().prompt(prompt, system=system, log=db)
    print(response.text())
    db.log(response)
    for turn in db.turns("pelican", model="gpt-4o-mini", limit=3):
        print(turn["prompt"], turn["response"])
    for talk in db.conversations(limit=1):
        print(talk.id, talk.name, talk.turns, talk.last_used_utc)
    conversation: llm.Conversation = db.conversation()
    later: llm.AsyncConversation = db.conversation(async_=True)
    print(conversation.prompt("And?").text(), later.id)
policy = llm.CallPolicy(retries=3)
models: list[str] = [model.model_id for model in llm.get_models()]
for entry in llm.get_models_with_aliases():
    print(entry.model, entry.async_model, entry.aliases)
tools = llm.get_tools()
plugins = llm.get_plugins()
llm.set_alias("mini", "gpt-4o-mini")
default: str = llm.get_default_model()
