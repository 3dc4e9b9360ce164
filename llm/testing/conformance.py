"""Whether a model does what `llm` and its users rely on, told in sentences."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeAlias

from ..content import Attachment
from ..models.base import AnyAsyncModel, SyncModel
from ..parts import Message, ToolCallPart, ToolResultPart, assistant, user
from .watching import Answer, Watched

_PNG = (
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
_SAMPLES = {"image/png": bytes.fromhex(_PNG), "application/pdf": b"%PDF-1.4\n%%EOF\n"}
_SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
# Attributes that twins have in common.
_SAME = (
    *("model_id", "can_stream", "supports_schema", "supports_tools", "supports_conversation"),
    *("needs_key", "key_env_var"),
)


class _Failed(Exception):
    """A sentence that ends a check."""


def check_model(
    model: SyncModel | AnyAsyncModel | str,
    async_model: AnyAsyncModel | None = None,
    *,
    key: str | None = None,
    prompt: str = "Say hello",
    options: Mapping[str, object] | None = None,
    skip: Collection[str] = (),
) -> list[str]:
    """What a model does not do that is expected of the models of plugins.

    It is asked a dozen times or so, streamed and whole, with everything that it says it supports.
    Whether what it answers is right is not judged: a service that always says the same will do,
    if that is JSON for a model with `supports_schema`.

    Args:
        model: The model, or the name of a registered one, whose twin is then looked at, too.
        async_model: Its twin for `async`: it is asked the same, and compared with the model.
        key: The key to ask with.
        prompt: What to ask.
        options: Options to try.
        skip: Checks to leave out: streaming, options, system, history, attachments, tools, schema,
            usage, interruption or async.

    Returns:
        A sentence for each failure, such as `usage: response.set_usage(...) was not called`; none
        where all is well.

    Raises:
        UnknownModelError: There is no model of that name.
        ValueError: There is no such check to skip.
    """
    if unknown := set(skip) - {*_CHECKS, "async"}:
        raise ValueError(f"No such check: {', '.join(sorted(unknown))}; see {[*_CHECKS, 'async']}")
    if isinstance(model, str):
        model, async_model = _registered(model)
    found = list(_check(model, key, prompt, options or {}, skip))
    if async_model is not None and "async" not in skip:
        assert not model.is_async, "the twins are given in the wrong order"
        found += [f"async: {sentence}" for sentence in _compared(model, async_model)]
        rest = _check(async_model, key, prompt, options or {}, skip)
        found += [f"async, {sentence}" for sentence in rest]
    return found


def _registered(name: str) -> tuple[SyncModel | AnyAsyncModel, AnyAsyncModel | None]:
    import llm

    with contextlib.suppress(llm.UnknownModelError):
        twin = llm.get_async_model(name)
        with contextlib.suppress(llm.UnknownModelError):
            return llm.get_model(name), twin
        return twin, None
    return llm.get_model(name), None


def _check(
    model: SyncModel | AnyAsyncModel,
    key: str | None,
    prompt: str,
    options: Mapping[str, object],
    skip: Collection[str],
) -> Iterator[str]:
    asked = _Asked(Watched(model, key), prompt, options)
    try:
        for name, check in _CHECKS.items():
            if name not in skip:
                try:
                    yield from (f"{name}: {sentence}" for sentence in check(asked))
                except _Failed as failure:
                    yield f"{name}: {failure}"
    finally:
        asked.watched.close()


class _Asked:
    """A model and what to ask it."""

    def __init__(self, watched: Watched, text: str, options: Mapping[str, object]) -> None:
        self.watched = watched
        self.model = watched.model
        self.text = text
        self.options = options
        self._plain: Answer | None = None

    def ask(self, how: str, *, needs_text: bool = True, **values: object) -> Answer:
        """The answer; `how` says what is special about the prompt."""
        try:
            answer = self.watched.ask(self.text, **values)  # type: ignore[arg-type]
        except Exception as error:
            raise _Failed(f"a prompt {how} failed with {_said(error)}") from error
        if needs_text and not (answer.response.text_so_far or answer.response.calls_so_far):
            raise _Failed(f"the answer to a prompt {how} is empty")
        return answer

    @property
    def plain(self) -> Answer:
        """The answer to a prompt with nothing beside it."""
        if self._plain is None:
            self._plain = self.ask("with nothing beside it")
        return self._plain


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _streaming(asked: _Asked) -> Iterator[str]:
    for odd in sorted(asked.plain.odd):
        yield f"it yielded {odd}, where only str and llm.parts.StreamEvent are allowed"
    asked.ask("with stream=False", stream=False)


def _options(asked: _Asked) -> Iterator[str]:
    options = asked.model.Options
    try:
        fields = options.model_json_schema().get("properties", {})
        options()
    except Exception as error:
        why = f"Options() failed with {_said(error)}; every option needs a default"
        raise _Failed(why) from error
    if fields and "options" not in asked.plain.read:
        yield f"prompt.options was not looked at, so that {', '.join(fields)} have no effect"
    if asked.options:
        asked.ask(f"with {dict(asked.options)}", options=asked.options)


def _system(asked: _Asked) -> Iterator[str]:
    answer = asked.ask("with a system prompt", system="Answer in French.")
    if not answer.read & {"system", "messages"}:
        yield "neither prompt.system nor prompt.messages was looked at, so it is not sent"


def _history(asked: _Asked) -> Iterator[str]:
    if not asked.model.supports_conversation:
        return
    conversation = asked.model.conversation()
    asked.ask("that begins a conversation", within=conversation)
    answer = asked.ask("that goes on with a conversation", within=conversation)
    if answer.response.history_ignored:
        yield "the earlier turns were not looked at: send prompt.messages, not prompt.prompt alone"
        return
    earlier = [user("My name is Cleo"), assistant("Hello Cleo")]
    answer = asked.ask("with messages=", messages=earlier)
    if "messages" not in answer.read and not asked.model.continues_as_text:
        yield "prompt.messages was not looked at: a history given with messages= is not sent"


def _attachments(asked: _Asked) -> Iterator[str]:
    for kind in asked.model.attachment_types:
        if "/" not in kind:
            yield f"attachment_types has {kind!r}, which is no MIME type such as image/png"
            continue
        file = Attachment(type=kind, content=_SAMPLES.get(kind, b"sample"))
        answer = asked.ask(f"with a file of {kind}", attachments=[file])
        if not answer.read & {"attachments", "messages"}:
            yield f"neither prompt.attachments nor prompt.messages was looked at for {kind}"


def _multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def _tools(asked: _Asked) -> Iterator[str]:
    if not asked.model.supports_tools:
        return
    answer = asked.ask("with a tool", tools=[_multiply])
    if "tools" not in answer.read:
        yield "prompt.tools was not looked at, so the tools are not offered"
    for call in answer.response.calls_so_far:
        if not isinstance(call.arguments, dict):
            kind = type(call.arguments).__name__
            yield f"the arguments of a tool call are {kind}: llm.tools.parse_arguments makes a dict"
    earlier = [
        user("2 times 3?"),
        Message("assistant", [ToolCallPart("_multiply", {"a": 2, "b": 3}, "call_1")]),
        Message("tool", [ToolResultPart("_multiply", "6", "call_1")]),
    ]
    how = "whose history has a tool call and its result"
    answer = asked.ask(how, messages=earlier, tools=[_multiply])
    if not answer.read & {"messages", "tool_results"}:
        yield "neither prompt.messages nor prompt.tool_results was looked at: results are not sent"


def _schema(asked: _Asked) -> Iterator[str]:
    if not asked.model.supports_schema:
        return
    answer = asked.ask("with a schema", schema=_SCHEMA)
    if "schema" not in answer.read:
        yield "prompt.schema was not looked at"
    text = answer.response.text_so_far
    try:
        json.loads(text)
    except ValueError:
        yield f"the answer to a prompt with a schema is no JSON: {text[:80]!r}"


def _usage(asked: _Asked) -> Iterator[str]:
    usage = asked.plain.response.usage_so_far()
    if usage.input is None or usage.output is None:
        yield "response.set_usage(input=, output=) was not called with both counts of tokens"


def _interruption(asked: _Asked) -> Iterator[str]:
    wanted = "CancelledError" if asked.model.is_async else "KeyboardInterrupt"
    error = asked.watched.interrupt(asked.text)
    if error is None:
        yield f"{wanted} in the middle of an answer is swallowed: let it through"
    elif type(error).__name__ != wanted:
        yield f"{wanted} in the middle of an answer becomes {_said(error)}: let it through"
    asked.ask("after one that was interrupted")


_Check: TypeAlias = Callable[[_Asked], Iterator[str]]
_CHECKS: dict[str, _Check] = {
    "streaming": _streaming,
    "options": _options,
    "system": _system,
    "history": _history,
    "attachments": _attachments,
    "tools": _tools,
    "schema": _schema,
    "usage": _usage,
    "interruption": _interruption,
}


def _compared(model: SyncModel | AnyAsyncModel, twin: AnyAsyncModel) -> Iterator[str]:
    def differing(name: str, ours: object, theirs: object) -> Iterator[str]:
        if ours != theirs:
            yield f"{name} is {theirs!r}, that of the model {ours!r}"

    for name in _SAME:
        yield from differing(name, getattr(model, name), getattr(twin, name))
    kinds = (sorted(one.attachment_types) for one in (model, twin))
    yield from differing("attachment_types", *kinds)
    names = (sorted(one.Options.model_fields) for one in (model, twin))
    yield from differing("the list of options", *names)
