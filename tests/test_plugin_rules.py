"""What real plugins count on, one rule a test, with small plugins in the shape of theirs.

Rules that a test of the feature itself covers (hooks, look-ups, assembly, keys) are not repeated.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import click
import pytest
import sqlite_utils
from click.testing import CliRunner, Result
from pydantic import Field, field_validator

import llm
import llm.cli
from llm.cli import cli
from llm.default_plugins.openai_models import AsyncChat, Chat, Responses
from llm.logs.read import rehydrate
from llm.parts import StreamEvent

from .helpers.openai_server import OpenAIServer, sse_reply, text_stream

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20

# What plugins import from there is served on first use.
cli_names: Any = llm.cli


def run(*args: str, stdin: str = "", command: click.Command = cli) -> Result:
    """The result of a command line, with nothing on standard input unless it is given."""
    return CliRunner().invoke(command, list(args), input=stdin)


def serving(*models: Any) -> Callable[..., None]:
    """A `register_models` hook for these models."""

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        for model in models:
            register(model)

    return register_models


# Distribution


def test_version_is_one_that_plugins_accept() -> None:
    """Plugins ask for 0.36 or newer, and read the version of the distribution `llm`."""
    version = importlib.metadata.version("llm")
    assert tuple(int(number) for number in version.split(".")[:2]) >= (0, 36)


def test_entry_point_may_be_a_submodule(
    fresh_plugins: None, install_plugin: Callable[..., Path]
) -> None:
    """The module of an entry point may lie inside a package."""
    folder = install_plugin("llm-deep", "", entry_points="deep = llm_deeper.register_tools")
    (folder / "llm_deeper").mkdir()
    (folder / "llm_deeper" / "__init__.py").write_text("")
    (folder / "llm_deeper" / "register_tools.py").write_text(
        "import llm\n\n\n"
        "def deep() -> str:\n    return 'deep'\n\n\n"
        "@llm.hookimpl\ndef register_tools(register):\n    register(deep)\n"
    )
    assert llm.get_tools()["deep"].plugin == "deep"


# Hooks


def test_hook_called_by_a_plugin_is_quiet_in_a_process(install_plugin: Callable[..., Path]) -> None:
    """Not even a warning is shown to the person at the terminal."""
    install_plugin(
        "llm-replaces",
        "import llm\n\n\n"
        "def look_up():\n"
        "    found = []\n"
        "    def register(model, async_model=None, aliases=None):\n"
        "        found.append(llm.ModelWithAliases(model, async_model, list(aliases or [])))\n"
        "    llm.load_plugins()\n"
        "    llm.pm.hook.register_models(register=register)\n"
        "    return found\n\n\n"
        "llm.get_models_with_aliases = look_up\n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "llm", "models"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "OpenAI Chat: gpt-4o (aliases: 4o)" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("aliases", [("a", "b"), ["a", "b"], None])
def test_aliases_may_be_any_sequence_or_none(
    plugin: Callable[..., object], aliases: Sequence[str] | None
) -> None:
    """Aliases come as a tuple, as a list or not at all; the asynchronous model by position."""

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        register(Old(), AsyncOld(), aliases=aliases)

    plugin("test-aliases", register_models=register_models)
    assert isinstance(llm.get_async_model("old"), AsyncOld)
    for alias in aliases or ():
        assert isinstance(llm.get_model(alias), Old)


def test_bound_method_is_a_tool(plugin: Callable[..., object]) -> None:
    """A method of an object registered as a tool runs with that object."""

    class Searcher:
        def search(self, query: str) -> str:
            """Search the web"""
            return f"found {query}"

    @llm.hookimpl
    def register_tools(register: Callable[..., None]) -> None:
        register(Searcher().search, name="web")

    plugin("test-bound", register_tools=register_tools)
    tool = llm.get_tools()["web"]
    assert isinstance(tool, llm.Tool)
    assert tool.implementation is not None
    assert (tool.description, list(tool.input_schema["properties"])) == (
        "Search the web",
        ["query"],
    )
    assert tool.implementation(query="x") == "found x"


# Commands


@pytest.fixture
def fresh_cli(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], click.Group]]:
    """The root group made anew, so that plugins registered by the test are asked."""
    import importlib

    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")

    def reload() -> click.Group:
        group: click.Group = importlib.reload(llm.cli).cli
        return group

    yield reload
    reload()


PROMPT_PARAMETERS = """
    prompt system model_id database queries attachments attachment_types options
    show_model_options no_stream no_log log hide_reasoning _continue conversation_id key async_
    usage extract extract_last json_output
"""
CHAT_PARAMETERS = "system model_id _continue conversation_id options database no_stream key"
LOGS_PARAMETERS = """
    count path database model truncate short usage response extract extract_last
    current_conversation conversation_id id_gt id_gte json_output
"""


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (cli_names.prompt, PROMPT_PARAMETERS),
        (cli_names.chat, CHAT_PARAMETERS),
        (cli_names.logs_list, LOGS_PARAMETERS),
        (cli_names.aliases.commands["set"], "alias model_id query"),
        (cli_names.aliases.commands["list"], "json_"),
    ],
    ids=["prompt", "chat", "logs list", "aliases set", "aliases list"],
)
def test_callback_parameters_keep_their_names(command: click.Command, names: str) -> None:
    """Plugins read and filter the parameters of commands by name."""
    missing = set(names.split()) - {parameter.name for parameter in command.params}
    assert missing == set()


class Counted(llm.ModelError):
    """What a plugin raises to get out of a prompt with a result."""


class Counter(llm.Model):
    """Ends with an exception that carries the result, as for counting tokens."""

    model_id = "counter"

    class Options(llm.Options):
        count_tokens: Optional[bool] = None

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Any:
        raise Counted(f"{len(prompt.prompt)} {prompt.options.count_tokens}")
        yield ""


@pytest.mark.parametrize("raising", ["", "1"])
def test_command_of_a_plugin_may_be_made_from_the_prompt(
    fresh_cli: Callable[[], click.Group],
    plugin: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    user_path: Path,
    raising: str,
) -> None:
    """Its options without those that make no sense; the model's exception comes back to it."""
    left_out = {"no_log", "log", "usage", "json_output", "async_"}

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        prompt = cli.commands["prompt"]

        @click.pass_context
        def count(ctx: click.Context, /, **arguments: Any) -> None:
            arguments["options"] = (("count_tokens", "1"), *arguments["options"])
            try:
                ctx.invoke(prompt, no_log=True, **arguments)
            except Exception as ex:
                counted = ex if isinstance(ex, Counted) else ex.__context__
                assert isinstance(counted, Counted)
                click.echo(f"counted {counted}")

        params = [found for found in prompt.params if found.name not in left_out]
        cli.add_command(click.Command("count", callback=count, params=params))

    monkeypatch.setenv("LLM_RAISE_ERRORS", raising)
    plugin("test-count", register_commands=register_commands, register_models=serving(Counter()))
    result = run("count", "-m", "counter", "four", command=fresh_cli())
    assert (result.exit_code, result.stdout) == (0, "counted 4 True\n")
    assert not (user_path / "logs.db").exists()


def test_logging_goes_through_the_method_of_the_class(
    fresh_cli: Callable[[], click.Group],
    plugin: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plugin that puts its own `log_to_db` in place sees every response; then it lists them."""
    seen: list[str] = []
    original = llm.Response.log_to_db

    def log_to_db(self: llm.Response, db: sqlite_utils.Database) -> None:
        seen.append(self.id)
        original(self, db)

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        prompt = cli.commands["prompt"]
        callback: Any = prompt.callback

        def wrapped(*args: Any, **arguments: Any) -> None:
            callback(*args, **arguments)
            click.get_current_context().invoke(
                cli_names.logs_list,
                count=len(seen),
                database=str(cli_names.logs_db_path()),
                id_gte=seen[0],
                json_output=True,
            )

        monkeypatch.setattr(prompt, "callback", wrapped)

    plugin("test-capture", register_commands=register_commands, register_models=serving(Old()))
    command = fresh_cli()
    monkeypatch.setattr(llm.Response, "log_to_db", log_to_db)
    result = run("-m", "old", "hi", command=command)
    answer, _, listing = result.stdout.partition("\n")
    assert answer == "None:hi"
    assert [row["id"] for row in json.loads(listing)] == seen


def test_prompt_put_aside_can_be_called_by_its_replacement(
    fresh_cli: Callable[[], click.Group], plugin: Callable[..., object]
) -> None:
    """A plugin pops the command, registers its own and passes everything on with `ctx.invoke`."""

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        original = next(found for found in dict(cli.commands).values() if found.name == "prompt")
        cli.commands.pop("prompt")

        @cli.command(name="prompt")
        @click.option("--cache/--no-cache", default=False)
        @click.pass_context
        def custom(ctx: click.Context, /, cache: bool, **arguments: Any) -> None:
            click.echo(f"cache={cache} model={arguments.get('model', 'unset')}")
            ctx.invoke(original, **arguments)

        custom.params = original.params.copy() + custom.params

    plugin("test-cache", register_commands=register_commands, register_models=serving(Old()))
    command = fresh_cli()
    expected = "cache=True model=unset\nNone:hi\n"
    assert run("prompt", "-m", "old", "--cache", "hi", command=command).stdout == expected
    assert run("-m", "old", "--cache", "hi", command=command).stdout == expected


# Models


class Old(llm.Model):
    """A model as of old: no constructor of the base is called, text goes out as str."""

    model_id = "old"

    def __init__(self) -> None:
        self.attachment_types = ["image/png"]

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any = None) -> Any:
        return iter([f"{prompt.system or None}:", prompt.prompt])


class AsyncOld(llm.AsyncModel):
    """Its asynchronous twin."""

    model_id = "old"

    async def execute(
        self, prompt: Any, stream: bool, response: Any, conversation: Any = None
    ) -> Any:
        yield prompt.prompt


def test_model_without_a_base_constructor_has_every_attribute() -> None:
    """Everything has a default in the class; `attachment_types` may be a list."""
    model = Old()
    assert (model.needs_key, model.key, model.key_env_var) == (None, None, None)
    assert not any([model.can_stream, model.supports_schema, model.supports_tools])
    image = llm.Attachment(content=PNG)
    assert model.prompt("x", attachments=[image]).text() == "None:x"
    assert str(model) == "Old: old"


def test_execute_gets_the_prompt_by_position_and_the_rest_by_name() -> None:
    """`stream`, `response`, `conversation` and `key`, exactly; one without defaults works too."""
    seen: list[dict[str, Any]] = []

    class Keyed(llm.KeyModel):
        model_id = "keyed"
        needs_key = "keyed"

        def execute(self, prompt: Any, **rest: Any) -> Any:  # type: ignore[override]
            seen.append(rest)
            yield "ok"

    Keyed().prompt("x", key="k", stream=False).text()
    (rest,) = seen
    assert list(rest) == ["stream", "response", "conversation", "key"]
    assert (rest["stream"], rest["conversation"], rest["key"]) == (False, None, "k")


def test_get_key_takes_every_shape_of_call(
    user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positional, by the old names and by the new ones; without any key quietly None."""
    assert llm.get_key("", "service", "SERVICE_KEY") is None
    monkeypatch.setenv("SERVICE_KEY", "from-env")
    assert llm.get_key("", "service", "SERVICE_KEY") == "from-env"
    assert llm.get_key(explicit_key="", key_alias="service", env_var="SERVICE_KEY") == "from-env"
    (user_path / "keys.json").write_text('{"service": "stored"}')
    assert llm.get_key("service", "other") == "stored"
    assert llm.get_key(input=None, alias="service", env="SERVICE_KEY") == "stored"
    assert llm.get_key(input="given", alias="service", env="SERVICE_KEY") == "given"
    assert cli_names.get_key(None, "service", "SERVICE_KEY") == "stored"


def test_options_are_pydantic_as_plugins_write_them() -> None:
    """Fields with bounds, validators, inheritance, `model_dump`, on the instance."""

    class Wider(Chat.Options):
        venice: Optional[dict[str, Any]] = Field(description="More", default=None)

        @field_validator("venice")
        @classmethod
        def check(cls, value: Any) -> Any:
            return value and {"checked": True}

    class Told(llm.Model):
        model_id = "told"

        def __init__(self) -> None:
            vars(self)["Options"] = Wider

        def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Any:
            given = prompt.options.model_dump(exclude_none=True)
            yield json.dumps([given, prompt.options.temperature, prompt.options.top_p])

    answer = Told().prompt("x", options={"venice": {"a": 1}, "temperature": "0.5"}).text()
    assert json.loads(answer) == [{"temperature": 0.5, "venice": {"checked": True}}, 0.5, None]


# Prompt, response, conversation


def test_private_request_of_old_plugins_can_be_set() -> None:
    """Eight plugins keep their request in `_prompt_json`; usage goes by position or by name."""

    class Keeper(llm.Model):
        model_id = "keeper"

        def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Any:
            response._prompt_json = {"messages": [prompt.prompt]}
            response.response_json = {"id": 1}
            yield "x"
            response.set_usage(input=1, output=2, details={"cached": 1})
            response.set_resolved_model("keeper-1")

    response = Keeper().prompt("hi")
    assert response.text() == "x"
    assert response._prompt_json == {"messages": ["hi"]}
    assert (response.json(), response.resolved_model) == ({"id": 1}, "keeper-1")
    assert response.usage() == llm.Usage(1, 2, {"cached": 1})


def test_response_made_by_hand_is_part_of_a_conversation() -> None:
    """A server plugin builds the earlier turns from what its client sent."""
    model = Walker()
    conversation = model.conversation()
    response = llm.Response(
        prompt=llm.Prompt("one", model=model, system="S"),
        model=model,
        stream=False,
        conversation=conversation,
    )
    chunks: Any = ["1"]
    response._chunks = chunks
    response._done = True
    response.attachments = []
    response._tool_calls = [llm.ToolCall(name="t", arguments={})]
    conversation.responses.append(response)
    assert response.tool_calls_or_raise() == [llm.ToolCall(name="t", arguments={})]
    walked = json.loads(conversation.prompt("two").text())
    assert [turn["prompt"] for turn in walked] == ["one", "two"]
    assert walked[0] | {"calls": []} == turn_of("one", "1", system="S")


def turn_of(prompt: str, text: str | None, **more: Any) -> dict[str, Any]:
    """What the walking model says of a turn."""
    return {
        "prompt": prompt,
        "system": more.get("system"),
        "attachments": more.get("attachments", []),
        "text": text,
        "calls": more.get("calls", []),
        "results": more.get("results", []),
    }


class Walker(llm.Model):
    """Builds its request as plugins of before 0.32 do: from `conversation.responses`."""

    model_id = "walker"
    attachment_types = {"image/png"}
    supports_tools = True

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Any:
        if prompt.prompt == "call" and not prompt.tool_results:
            response.add_tool_call(llm.ToolCall("shout", {"text": "hey"}, "c1"))
            return
        turns = []
        for earlier in conversation.responses if conversation else ():
            turns.append(
                turn_of(
                    earlier.prompt.prompt,
                    earlier.text_or_raise(),
                    system=earlier.prompt.system or None,
                    attachments=[found.resolve_type() for found in earlier.attachments],
                    calls=[call.name for call in earlier.tool_calls_or_raise()],
                    results=[result.output for result in earlier.prompt.tool_results],
                )
            )
        yield json.dumps([*turns, turn_of(prompt.prompt, None)])


def shout(text: str) -> str:
    """Say it loud"""
    return text.upper()


def test_walking_plugin_gets_the_whole_history_after_continue(
    plugin: Callable[..., object], tmp_path: Path
) -> None:
    """After `llm -c` the earlier turns are there with system prompt, attachments and tools."""
    plugin("test-walker", register_models=serving(Walker()))
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    first = run("-m", "walker", "one", "-s", "S", "-a", str(path))
    assert json.loads(first.stdout) == [turn_of("one", None)]
    db = sqlite_utils.Database(cli_names.logs_db_path())
    conversation: llm.Conversation = cli_names.load_conversation(None)
    chain = conversation.chain("call", tools=[shout])
    answer = chain.text()
    chain.log_to_db(db)
    result = run("-c", "three")
    # Nothing but the answer: this model did look.
    assert result.stderr == ""
    walked = json.loads(result.stdout)
    assert walked[0] == turn_of(
        "one", first.stdout.removesuffix("\n"), system="S", attachments=["image/png"]
    )
    assert walked[1] | {"system": None} == turn_of("call", "", calls=["shout"])
    assert walked[2] | {"system": None} == turn_of("", answer, results=["HEY"])
    assert walked[3:] == [turn_of("three", None)]


def test_walking_plugin_gets_the_history_asynchronously(
    plugin: Callable[..., object], user_path: Path
) -> None:
    """The asynchronous twin of such a plugin finds finished responses, too."""

    class AsyncWalker(llm.AsyncModel):
        model_id = "walker"

        async def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Any:
            for earlier in conversation.responses:
                yield f"{earlier.prompt.prompt}={await earlier.text()} {earlier.text_or_raise()};"

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        register(Old(), AsyncWalker(), aliases=["w"])

    plugin("test-async-walker", register_models=register_models)
    assert run("-m", "old", "one").exit_code == 0
    conversation = rehydrate.load_conversation(user_path / "logs.db", None, async_=True)
    assert isinstance(conversation, llm.AsyncConversation)
    conversation.model = AsyncWalker()
    assert asyncio.run(text_of(conversation.prompt("two"))) == "one=None:one None:one;"


async def text_of(response: llm.AsyncResponse) -> str:
    """The text of an asynchronous response."""
    return await response.text()


def test_history_that_was_not_looked_at_is_told_once(plugin: Callable[..., object]) -> None:
    """`llm -c` with a model that ignores the history says so on stderr, in one line, the first
    time; programs that read both streams have the next answers alone."""
    plugin("test-old", register_models=serving(Old()))
    assert run("-m", "old", "one").stderr == ""
    result = run("-c", "two")
    assert result.stdout == "None:two\n"
    assert result.stderr == "old did not look at the earlier turns of this conversation\n"
    assert [run("-c", "three").stderr, run("-c", "four").stderr] == ["", ""]


def test_completion_plugin_gets_the_history_as_text(plugin: Callable[..., object]) -> None:
    """With `continues_as_text` the texts stand before the new prompt; the log has only that."""

    class Completes(Old):
        model_id = "completes"
        continues_as_text = True

    plugin("test-completes", register_models=serving(Completes()))
    run("-m", "completes", "one")
    result = run("-c", "two")
    assert (result.stdout, result.stderr) == ("None:one\nNone:one\ntwo\n", "")
    rows = json.loads(run("logs", "--json").stdout)
    assert [row["prompt"] for row in rows] == ["one", "two"]
    assert {row["conversation_name"] for row in rows} == {"one"}


def test_event_of_a_plugin_carries_what_the_provider_needs_back(
    plugin: Callable[..., object],
) -> None:
    """Opaque metadata of a part comes back with the messages of the next turn, after `-c` too."""

    class Signs(llm.Model):
        model_id = "signs"

        def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Any:
            marks = [
                part.provider_metadata
                for message in prompt.messages
                for part in message.parts
                if part.provider_metadata
            ]
            yield StreamEvent(
                type="reasoning", chunk="", provider_metadata={"signs": {"n": len(marks)}}
            )
            yield StreamEvent(type="text", chunk=json.dumps(marks))

    plugin("test-signs", register_models=serving(Signs()))
    assert run("-m", "signs", "a").stdout == "[]\n"
    assert json.loads(run("-c", "b").stdout) == [{"signs": {"n": 0}}]
    assert json.loads(run("-c", "c").stdout) == [{"signs": {"n": 0}}, {"signs": {"n": 1}}]


# Tools and embeddings


def test_toolbox_without_base_constructor_can_be_added_to() -> None:
    """`add_tool` works before and without `super().__init__()`."""

    class Box(llm.Toolbox):
        name = "overwritten"

        def __init__(self, url: str) -> None:
            self.add_tool(llm.Tool(name="remote", description=url, implementation=lambda: url))

    box = Box("http://x")
    assert [tool.name for tool in box.tools()] == ["remote"]
    assert box._config == {"url": "http://x"}


def test_partition_tools_as_providers_do() -> None:
    """Function tools and the provider's own are told apart, in order."""
    from llm.models import _partition_tools

    class Search(llm.ServerSideTool):
        """Hosted search"""

        name = "search"

        def __init__(self, limit: int = 3) -> None:
            super().__init__()
            self.limit = limit

        def tool_spec(self, model: Any) -> dict[str, Any]:
            return {"type": self.name, "limit": self.limit}

    class Provider(Old):
        @property
        def supported_server_side_tools(self) -> tuple[type[llm.ServerSideTool], ...]:
            return (Search,)

    search, tool = Search(5), llm.Tool.function(shout)
    assert _partition_tools(Provider(), [search, tool]) == ([tool], [search])
    assert search.tool_spec(None) == {"type": "search", "limit": 5}


def test_collection_of_a_plugin_without_key_argument(plugin: Callable[..., object]) -> None:
    """`embed_batch(items)` is called without a key; `similar` returns entries."""

    class Length(llm.EmbeddingModel):
        model_id = "length"

        def embed_batch(self, texts: Any) -> Any:  # type: ignore[override]
            return ([float(len(text)), 1.0] for text in texts)

    @llm.hookimpl
    def register_embedding_models(register: Callable[..., None]) -> None:
        register(Length(), aliases=("len",))

    plugin("test-length", register_embedding_models=register_embedding_models)
    collection = llm.Collection("things", sqlite_utils.Database(memory=True), model_id="len")
    collection.embed_multi([("a", "x"), ("b", "x" * 50)])
    assert [entry.id for entry in collection.similar("xx", number=1)] == ["a"]


# Subclasses of the OpenAI models


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A loopback server."""
    from llm.providers.openai.transport import fast

    with OpenAIServer() as running:
        yield running
    fast.close()


class Deep(Chat):
    """A model of another service, as eight plugins make them."""

    needs_key = "deep"
    key_env_var = "DEEP_KEY"

    def __init__(self, model_name: str, base: str, **more: Any) -> None:
        super().__init__(
            model_name=model_name, model_id=f"deep/{model_name}", api_base=base, **more
        )

    def __str__(self) -> str:
        return f"Deep: {self.model_id}"

    def build_kwargs(self, prompt: Any, stream: bool) -> dict[str, Any]:
        return super().build_kwargs(prompt, stream) | {"extra_body": {"deep": True}}


def test_subclass_of_chat_sends_its_own_key_and_fields(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constructor, key, name and request are the subclass's; `extra_body` goes into the body."""
    monkeypatch.setenv("DEEP_KEY", "sk-deep")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    server.add(text_stream("Hi"))
    model = Deep("m1", server.url)
    assert str(model) == "Deep: deep/m1"
    assert model.prompt("x").text() == "Hi"
    assert server.last.headers["authorization"] == "Bearer sk-deep"
    assert (server.last.body["model"], server.last.body["deep"]) == ("m1", True)


def test_subclass_of_chat_and_async_chat_share_a_mixin(server: OpenAIServer) -> None:
    """A mixin that passes everything on, with the names of options that the constructor takes."""

    # What it is mixed into has the constructor.
    unknown: Any = object

    class Mixin(unknown):
        needs_key: Any = None

        def __init__(self, model_id: str, **more: Any) -> None:
            super().__init__(
                model_id,
                key="k",
                model_name="n",
                api_base=server.url,
                headers={"x-client": "plugin"},
                can_stream=True,
                supports_tools=True,
                supports_schema=True,
                **more,
            )

    class Sync(Mixin, Chat):
        pass

    class Async(Mixin, AsyncChat):
        pass

    server.add(text_stream("one"), text_stream("two"))
    assert Sync("m", vision=True).prompt("x").text() == "one"
    assert asyncio.run(text_of(Async("m", reasoning=True).prompt("x"))) == "two"
    assert [request.headers["x-client"] for request in server.requests] == ["plugin"] * 2


def test_subclass_that_runs_the_model_by_position(server: OpenAIServer) -> None:
    """`super().execute(prompt, stream, response, conversation, key)` without names."""

    class Positional(Chat):
        def execute(
            self, prompt: Any, stream: Any, response: Any, conversation: Any = None, key: Any = None
        ) -> Any:
            yield from super().execute(prompt, stream, response, conversation, key)

    server.add(
        sse_reply(
            [
                {"choices": [{"delta": {"content": "ok"}}]},
                {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            ]
        )
    )
    assert Positional("m", api_base=server.url, key="k").prompt("x").text() == "ok"


# What plugins call and override, with its parameters in their order; there may be more.
OPENAI_MODEL = """
    model_id key model_name api_base api_type api_version api_engine headers can_stream vision audio
    reasoning verbosity image_detail_original service_tier supports_schema supports_tools
    allows_system_prompt
"""
SIGNATURES: list[tuple[Callable[..., object], str]] = [
    (Chat, OPENAI_MODEL),
    (AsyncChat, OPENAI_MODEL),
    (Chat.build_kwargs, "self prompt stream"),
    (Chat.build_messages, "self prompt conversation image_detail"),
    (Chat.get_client, "self key async_"),
    (Chat.execute, "self prompt stream response conversation key"),
    (Responses._build_responses_kwargs, "self prompt stream"),
    (Responses._build_responses_input, "self prompt image_detail"),
    (Responses._server_tool_events, "self item message_index"),
    (Responses._refresh_server_tool_events, "self output done_events"),
    (Responses._delegate_chat_kwargs, "self"),
    (llm.Model.execute, "self prompt stream response conversation"),
    (llm.KeyModel.execute, "self prompt stream response conversation key"),
    (llm.AsyncModel.execute, "self prompt stream response conversation"),
    (llm.AsyncKeyModel.execute, "self prompt stream response conversation key"),
    (llm.Model.get_key, "self explicit_key"),
    (llm.get_key, "explicit_key key_alias env_var alias env input"),
    (llm.Response.set_usage, "self input output details"),
    (llm.Response.add_tool_call, "self tool_call"),
    (llm.Response.set_resolved_model, "self model_id"),
    (llm.Response.log_to_db, "self db"),
    (llm.Response.from_row, "db row"),
    (llm.parts.Message, "role parts provider_metadata"),
    (llm.parts.TextPart, "text provider_metadata"),
    (llm.parts.ReasoningPart, "text redacted provider_metadata"),
    (llm.parts.AttachmentPart, "attachment provider_metadata"),
    (llm.parts.ToolCallPart, "name arguments tool_call_id server_executed provider_metadata"),
    (
        llm.parts.ToolResultPart,
        "name output tool_call_id server_executed attachments exception provider_metadata",
    ),
    (
        StreamEvent,
        "type chunk part_index tool_call_id server_executed tool_name redacted provider_metadata"
        " message_index",
    ),
    (llm.Attachment, "type path url content"),
    (llm.Fragment, "content source"),
    (llm.Tool, "name description input_schema implementation plugin"),
    (llm.ToolCall, "name arguments tool_call_id"),
    (llm.ToolResult, "name output attachments tool_call_id instance exception"),
    (llm.Toolbox.add_tool, "self tool_or_function pass_self"),
    (llm.EmbeddingModel.embed_multi, "self items batch_size"),
    (llm.Collection, "name db model model_id create"),
    (llm.Collection.similar, "self value number"),
    (cli_names.get_default_model, "filename default"),
    (llm.utils.dicts_to_table_string, "headings dicts"),
]


@pytest.mark.parametrize(
    ("called", "names"), SIGNATURES, ids=[found.__qualname__ for found, _ in SIGNATURES]
)
def test_parameters_keep_their_names_and_order(called: Callable[..., object], names: str) -> None:
    """Plugins give them by position and by name, and hand them on to `super()`."""
    expected = names.split()
    assert list(inspect.signature(called).parameters)[: len(expected)] == expected


def test_responses_take_what_chat_takes() -> None:
    """By the same names, and `reasoning_summary` beside."""
    values = dict.fromkeys(OPENAI_MODEL.split()) | {"model_id": "m", "model_name": "n"}
    model = Responses(**values, reasoning_summary=False)
    assert (model.model_id, model.model_name) == ("m", "n")
    assert "temperature" in model.Options.model_fields


# Robustness


def test_plugin_that_writes_where_nothing_is(install_plugin: Callable[..., Path]) -> None:
    """A plugin that cannot write its file at import costs one line; the program works."""
    install_plugin("llm-writes", "open('/nowhere/at/all/file.log', 'w')\n")
    done = subprocess.run(
        [sys.executable, "-m", "llm", "plugins"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    (row,) = json.loads(done.stdout)
    assert row["name"] == "llm-writes"
    assert row["fault"].startswith("FileNotFoundError")
    assert done.stderr.count("\n") == 1


def test_toolbox_without_its_argument_is_a_usage_error(plugin: Callable[..., object]) -> None:
    """`-T Box`, where it needs an argument, is told in a line that says how to give it."""

    class Box(llm.Toolbox):
        def __init__(self, path: str) -> None:
            self.path = path

        def size(self) -> int:
            """A tool."""
            return len(self.path)

    @llm.hookimpl
    def register_tools(register: Callable[..., None]) -> None:
        register(Box)

    plugin("test-box", register_tools=register_tools, register_models=serving(Counter()))
    result = run("-m", "counter", "-T", "Box", "hi")
    assert result.exit_code == 1
    assert "missing 1 required positional argument: 'path'" in result.stderr
    assert "It is written Box(path: str)" in result.stderr
