"""A conversation that is kept, written down and taken up again."""

import json
from typing import cast

import llm
from llm.serialization import ConversationDict

model = llm.get_model()
kept: list[llm.Response] = []
conversation: llm.Conversation = model.conversation(log=kept.append, truncate="oldest")
first: llm.Response = conversation.prompt("My name is Ada", system="Be brief")
print(first.text(), conversation.id, conversation.name or "")
responses: list[llm.Response] = conversation.responses
shape: ConversationDict = conversation.to_dict()
text = json.dumps(shape)
again: llm.Conversation = llm.Conversation.from_dict(
    cast(ConversationDict, json.loads(text)), model=model
)
print(again.prompt("What is my name?").text(), shape["turns"][0]["id"])
