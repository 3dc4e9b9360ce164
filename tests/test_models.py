"""Model classes: what they accept, their keys, their options, and models that complete text."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

import llm
from llm.models import Options
from llm.models.options import LazyOptions, option_values

from .helpers.quick import AsyncEcho, Echo, shout, told

PICTURE = llm.Attachment(type="image/png", content=b"\x89PNG")


class Bare(llm.Model):
    """Supports nothing."""

    model_id = "bare"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield prompt.prompt


class AsyncBare(llm.AsyncModel):
    """The asynchronous twin."""

    model_id = "bare"

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        yield prompt.prompt


class Search(llm.ServerSideTool):
    """Searches"""

    name = "search"


class DeepSearch(Search):
    """Searches deeply"""

    name = "deep_search"


class Claims(Bare):
    """Claims the tools it is told to."""

    def __init__(self, *claimed: type[llm.ServerSideTool]) -> None:
        self.claimed = claimed

    @property
    def supported_server_side_tools(self) -> tuple[type[llm.ServerSideTool], ...]:
        """What it was told."""
        return self.claimed


@pytest.mark.parametrize(
    ("model", "text"),
    [(Bare(), "Bare: bare"), (AsyncBare(), "AsyncBare (async): bare")],
)
def test_model_names_itself(model: llm.Model, text: str) -> None:
    """A model is shown by its class and id."""
    assert (str(model), repr(model)) == (text, f"<{text}>")


def test_model_defaults() -> None:
    """A class that sets nothing supports nothing, and needs no `__init__`."""
    model = Bare()
    assert (model.can_stream, model.supports_schema, model.supports_tools) == (False,) * 3
    assert (model.needs_key, model.key, model.key_env_var) == (None,) * 3
    assert model.supports_conversation is True
    assert (model.attachment_types, model.supported_server_side_tools) == (frozenset(), ())


def test_model_without_execute_is_abstract() -> None:
    """`execute` is what a model must have."""

    class Empty(llm.Model):
        model_id = "empty"

    unchecked: Any = Empty
    with pytest.raises(TypeError, match="execute"):
        unchecked()


@pytest.mark.parametrize("model", [Bare(), AsyncBare()])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attachments": [PICTURE]}, "This model does not support attachments"),
        ({"schema": {"type": "object"}}, "{model} does not support schemas"),
        ({"tools": [shout]}, "{model} does not support tools"),
        (
            {"tools": [Search()]},
            "Model 'bare' does not support server-side tool 'search'. Run: llm tools -m bare",
        ),
    ],
)
def test_model_refuses_what_it_cannot(
    model: llm.Model, arguments: dict[str, Any], message: str
) -> None:
    """What a model does not support is refused before anything is sent."""
    with pytest.raises(ValueError) as caught:
        model.prompt("x", **arguments)
    assert str(caught.value) == message.format(model=model)


@pytest.mark.parametrize("kind", ["text/plain", None])
def test_model_refuses_attachment_of_another_type(kind: str | None) -> None:
    """The error names the type and, in order, the types that are taken."""
    attachment = llm.Attachment(type=kind, content=b"words")
    with pytest.raises(ValueError) as caught:
        Echo().prompt("x", attachments=[attachment])
    assert str(caught.value) == (
        f"This model does not support attachments of type '{kind}', only audio/wav, image/png"
    )


@pytest.mark.parametrize(
    ("claimed", "tool", "taken"),
    [
        ([Search], Search(), True),
        ([Search], DeepSearch(), True),
        ([DeepSearch], Search(), False),
        ([llm.ServerSideTool], llm.ServerSideTool({}), True),
        ([llm.ServerSideTool], Search(), False),
        ([llm.ServerSideTool, Search], DeepSearch(), True),
    ],
)
def test_model_claims_cover_subclasses(
    claimed: list[type[llm.ServerSideTool]], tool: llm.ServerSideTool, taken: bool
) -> None:
    """A claim covers subclasses; that of the base class covers only itself."""
    model = Claims(*claimed)
    if taken:
        assert model.prompt("x", tools=[tool]).prompt.tools == [tool]
    else:
        with pytest.raises(ValueError, match="does not support server-side tool"):
            model.prompt("x", tools=[tool])


@pytest.mark.parametrize("role", ["assistant", "tool"])
def test_model_without_conversation_refuses_history(role: str) -> None:
    """A model that takes one prompt says so when it is given a conversation."""

    class Single(Bare):
        supports_conversation = False

    history = [llm.user("a"), llm.Message(role, [])]  # type: ignore[arg-type]
    with pytest.raises(llm.ConversationNotSupported) as caught:
        Single().prompt("x", messages=history)
    assert str(caught.value) == "Single: bare does not support conversations"
    assert Single().prompt("x", messages=[llm.system("s")]).text() == "x"


class Locked(llm.KeyModel):
    """Tells its key."""

    model_id = "locked"
    needs_key = "vault"
    key_env_var = "VAULT_KEY"

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
        key: str | None,
    ) -> Iterator[str]:
        yield str(key)


class AsyncLocked(llm.AsyncKeyModel):
    """The asynchronous twin."""

    model_id = "locked"
    needs_key = "vault"

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
        key: str | None,
    ) -> AsyncGenerator[str, None]:
        yield str(key)


def test_model_key_order(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own key, then the given one (or the stored one of that name), then stored, then variable."""
    monkeypatch.setenv("VAULT_KEY", "from-env")
    model = Locked()
    assert model.get_key() == "from-env"
    (user_path / "keys.json").write_text(json.dumps({"vault": "stored", "other": "second"}))
    assert model.get_key() == "stored"
    assert model.get_key("given") == "given"
    assert model.get_key("other") == "second"
    model.key = "own"
    assert model.get_key("given") == "own"
    assert model.prompt("x", key="given").text() == "own"


def test_model_key_is_given_to_execute() -> None:
    """Both kinds of key model are given the key, from the prompt or the conversation."""
    assert Locked().prompt("x", key="k").text() == "k"
    assert Locked().conversation().prompt("x", key="k").text() == "k"
    assert asyncio.run(AsyncLocked().prompt("x", key="k").text()) == "k"


def test_model_key_that_is_not_needed() -> None:
    """A model that needs no key gets none, whatever is given."""

    class Free(Locked):
        needs_key: Any = None

    assert Free().prompt("x", key="k").text() == "None"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (AsyncLocked(), "No key found - add one using 'llm keys set vault'"),
        (
            Locked(),
            "No key found - add one using 'llm keys set vault'"
            " or set the VAULT_KEY environment variable",
        ),
    ],
)
def test_model_key_missing_says_how_to_add_one(model: llm.Model, message: str) -> None:
    """The error has the command, and the variable where there is one."""
    with pytest.raises(llm.NeedsKeyException) as caught:
        model.get_key()
    assert str(caught.value) == message


class Tuned(Bare):
    """Has options as plugins write them."""

    class Options(llm.Options):
        """Two."""

        warmth: float | None = pydantic.Field(default=None, ge=0, le=2)
        seed: int = 7

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield json.dumps(dict(prompt.options))


def test_options_are_validated_and_coerced() -> None:
    """Options come as keywords or in a mapping, and strings of a command line are converted."""
    assert json.loads(Tuned().prompt("x", warmth="1.5").text()) == {"warmth": 1.5, "seed": 7}
    response = Tuned().prompt("x", options={"warmth": 1}, seed=2)
    assert json.loads(response.text()) == {"warmth": 1.0, "seed": 2}


def test_options_given_twice() -> None:
    """An option in both places is a mistake."""
    with pytest.raises(TypeError) as caught:
        Tuned().prompt("x", options={"seed": 1}, seed=2)
    assert str(caught.value) == (
        "Got values for these options both in options= and as keyword arguments: ['seed']"
    )


@pytest.mark.parametrize(
    ("model", "options"), [(Tuned(), {"warmth": 3}), (Tuned(), {"heat": 1}), (Bare(), {"heat": 1})]
)
def test_options_invalid(model: llm.Model, options: dict[str, Any]) -> None:
    """An option that is unknown or out of range is refused at once."""
    with pytest.raises(pydantic.ValidationError, match="1 validation error for Options"):
        model.prompt("x", **options)


def test_options_base_class() -> None:
    """A model without options has a class of no fields; each is a subclass of `llm.Options`."""
    assert issubclass(Bare.Options, llm.Options)
    assert Bare.Options is Bare().Options
    assert Bare.Options is not llm.Options
    assert dict(Bare.Options()) == {}
    assert llm.Options is Options
    assert list(Tuned.Options()) == [("warmth", None), ("seed", 7)]


def test_options_lazy_are_built_on_first_access() -> None:
    """A class of options that is built by a function is built once, and only when it is needed."""
    built: list[int] = []

    def build() -> type[llm.Options]:
        built.append(1)
        return pydantic.create_model("Options", __base__=llm.Options, heat=(int | None, None))

    class Lazy(Bare):
        Options = LazyOptions(build)

    prompt = Lazy().prompt("x").prompt
    assert option_values(prompt) == {}
    assert built == []
    assert option_values(Lazy().prompt("x", heat=3).prompt) == {"heat": 3}
    assert Lazy.Options is Lazy().Options
    assert built == [1]


def test_option_values_in_order_of_declaration() -> None:
    """Options that are None are left out; defaults of an ordinary class count."""
    assert option_values(Tuned().prompt("x").prompt) == {"seed": 7}
    assert list(option_values(Tuned().prompt("x", seed=1, warmth=2).prompt)) == ["warmth", "seed"]


def test_option_values_of_an_instance() -> None:
    """A model may set its options on the instance."""
    model = Bare()
    vars(model)["Options"] = Tuned.Options
    assert option_values(model.prompt("x").prompt) == {"seed": 7}


def test_options_need_no_pydantic_until_given() -> None:
    """Asking for the options of a prompt without any does not import pydantic."""
    script = """
import sys, llm
from llm.models.options import option_values
class Quick(llm.Model):
    model_id = "quick"
    def execute(self, prompt, stream, response, conversation):
        yield "hi"
prompt = Quick().prompt("x").prompt
assert option_values(prompt) == {} and "pydantic" not in sys.modules
assert dict(prompt.options) == {} and "pydantic" in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


class Completer(Bare):
    """Completes text."""

    continues_as_text = True

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        self.seen = (prompt.prompt, prompt.system)
        yield "A"


def test_completion_model_sees_the_history_as_text() -> None:
    """A model that completes text is given the conversation as text; the log keeps the turns."""
    model = Completer()
    conversation = model.conversation()
    conversation.prompt("one", system="s").text()
    assert model.seen == ("one", "s")
    response = conversation.prompt("two", fragments=["f"])
    response.text()
    assert model.seen[0] == "one\nA\nf\ntwo"
    assert response.prompt.prompt == "f\ntwo"
    assert told(response.prompt)[-1] == ("user", "f\ntwo")
    assert conversation.name is None
    assert response.history_ignored is False


@pytest.mark.parametrize("model", [Echo(), AsyncEcho()])
def test_model_conversation_takes_its_settings(model: llm.Model) -> None:
    """Tools, hooks and limit of a conversation are set where it is made."""
    show: Any = repr
    conversation = model.conversation([shout], print, show, 3)
    assert (conversation.tools, conversation.chain_limit) == ([shout], 3)
    hooks: tuple[object, object] = (conversation.before_call, conversation.after_call)
    assert hooks == (print, show)
    assert model.conversation().tools is None


def test_model_looks_up_the_key_through_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that replaces `llm.get_key` is heard."""
    monkeypatch.setattr(llm, "get_key", lambda *arguments: "replaced")
    assert Locked().get_key() == "replaced"
