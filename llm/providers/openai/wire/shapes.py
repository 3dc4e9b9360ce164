"""What the wire formats of the API share: JSON shapes, text that is cut, usage, redaction."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Union

import llm
from llm.errors import ModelError, Overloaded
from llm.parts import AttachmentPart, Message, StreamEvent, TextPart, ToolCallPart, ToolResultPart

if TYPE_CHECKING:
    from llm import Attachment, Tool

    from .amend import Amendment
    from .unwrapped import Unwrapper

Json = dict[str, Any]
Event = Union[str, StreamEvent]
V = TypeVar("V")
P = TypeVar("P", ToolCallPart, ToolResultPart)

#: Sent where no key is needed: some servers insist on a header.
DUMMY_KEY = "DUMMY_KEY"

#: Its address; compatible servers have others.
OPENAI = "https://api.openai.com/"

CUT_OFF = "The answer is cut off: it reached the limit of tokens (-o max_tokens)"
FILTERED = "The answer was stopped by the provider's content filter"

#: Stands in the sequence of objects of an answer for the server's word that it is complete.
DONE: Json = {}

#: Stands there for the end of a body that came whole, where the server said nothing about it.
ENDED: Json = {}


# What was learnt about servers and their models, by address and by address and model: the names of
# the amendments without which they refuse. Kept for the process.
_learnt: dict[tuple[str, str], set[str]] = {}


class Forms:
    """The forms that a request may be sent in: the documented one goes first, as it is what OpenAI
    and subclasses know; a server that refuses it may take another one.

    Attributes:
        is_last: No other form is sent if the server refuses the one that is sent now.
    """

    def __init__(self, url: str, request: Json) -> None:
        self._url = url
        self._model = str(request.get("model"))
        self._tried = {*_learnt.get((url, ""), ()), *_learnt.get((url, self._model), ())}
        self._new: list[Amendment] = []
        if self._tried:
            from .amend import amended

            request = amended(request, self._tried)
        self._left = [request]
        self.is_last = False

    def __iter__(self) -> Iterator[Json]:
        while self._left:
            yield self._left[0]
            del self._left[0]

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Go on with another form where the server refuses this one for its form."""
        try:
            yield
        except ModelError as error:
            if self.is_last or not self._amend(error):
                raise
        else:
            self._learn()

    def _amend(self, error: ModelError) -> bool:
        """Whether there is another form that a refusal asks for; it is sent next."""
        if type(error) not in (ModelError, Overloaded):
            return False
        from .amend import helpful

        form = self._left[0]
        found = helpful(form, str(error), self._tried)
        if any(amendment.words is None for amendment in found):
            # The refusal does not say what is wrong; some call that their own fault.
            is_their_own = type(error) is Overloaded and "pars" not in str(error)
            if is_their_own or self._url.startswith(OPENAI):
                return False
        for amendment in found:
            form = amendment.change(form)
            self._tried.add(amendment.name)
        self._new += found
        self._left += [form] if found else []
        return bool(found)

    def _learn(self) -> None:
        """Remember what the server did not refuse in the end."""
        for amendment in self._new:
            place = (self._url, self._model if amendment.is_of_model else "")
            _learnt.setdefault(place, set()).add(amendment.name)


_SURROGATE = re.compile("[\ud800-\udfff]")


class TextMender:
    """Joins characters that a server split into two halves of a surrogate pair."""

    def __init__(self) -> None:
        self._half = ""

    def mend(self, text: str) -> str:
        """`text` with whole characters only; a first half is kept back for the next piece."""
        if not self._half and (text.isascii() or not _SURROGATE.search(text)):
            return text
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def rest(self) -> str:
        """A replacement character where half a character was left over, else nothing."""
        left, self._half = self._half, ""
        return "\ufffd" if left else ""


class Call:
    """A tool call that may arrive in pieces.

    Attributes:
        given_id: The id that the server gave it, if any.
        kept: What the server said about it and wants back as it is.
    """

    def __init__(self, call_id: str, given_id: object = None) -> None:
        self.id = call_id
        self.given_id = given_id
        self.name = ""
        self.pieces: list[str] = []
        self.kept: Json = {}

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are complete, as far as they can tell."""
        try:
            json.loads("".join(self.pieces))
        except (ValueError, RecursionError):
            return False
        return True


def _new_call_id() -> str:
    from llm.utils import monotonic_ulid

    return f"call_{str(monotonic_ulid()).lower()}"


class CallIds:
    """The ids of the calls of one answer: those that the server gives, each once; else new ones.

    Args:
        new_id: Makes a new one.
    """

    def __init__(self, new_id: Callable[[], str] | None = None) -> None:
        self._new_id = new_id or _new_call_id
        self._taken: set[str] = set()

    def take(self, given: object) -> str:
        """The id of a call that came with this one, or with none."""
        call_id = str(given) if given else ""
        if not call_id or call_id in self._taken:
            call_id = self._new_id()
        self._taken.add(call_id)
        return call_id


Failure = Callable[[object], ModelError]


def plain_failure(value: object) -> ModelError:
    """The error for an object in which a server tells of one, where nobody knows which server."""
    from .reasons import told_by

    return ModelError(told_by(value).text)


class Accumulator(ABC):
    """Takes the objects of one answer as they arrive and remembers what they amount to.

    Args:
        new_id: Makes an id for a tool call that comes without one.
        failure: Makes the error for an object in which the server tells of one.
        unwraps: The text is to be JSON: thinking before it and a fence around it are no part of it.

    Attributes:
        is_complete: The answer is complete, as the server said or its body tells by ending.
        usage: The tokens that it counted, as it tells them.
    """

    # Where the usage tells how many tokens of reasoning there were.
    _details: ClassVar[str]
    # Whether the end marker is the server's word that the answer is complete.
    _is_told_by_marker: ClassVar[bool] = True

    def __init__(
        self,
        new_id: Callable[[], str] | None = None,
        failure: Failure = plain_failure,
        *,
        unwraps: bool = False,
    ) -> None:
        self._failure = failure
        self._unwrapper: Unwrapper | None = None
        if unwraps:
            from .unwrapped import Unwrapper

            self._unwrapper = Unwrapper()
        self.is_complete: bool = False
        self._has_ended = False
        self._answered = False
        # The first object that was no part of an answer.
        self._unknown: Json | None = None
        self.usage: Json | None = None
        self._mender = TextMender()
        self._refusal: list[str] = []
        self._has_reasoning = False
        self._message_index = 0
        self._calls: list[Call] = []
        self._ids = CallIds(new_id)
        # What the server says about the answer as a whole.
        self._head: Json = {}

    def feed(self, value: Json) -> Iterable[Event]:
        """What one object adds to the answer.

        Raises:
            ModelError: It tells of a failure, after what it says beside that was taken, or does not
                have the shape that the API promises.
        """
        if value is DONE or value is ENDED:
            self._has_ended = True
            self.is_complete |= value is DONE and self._is_told_by_marker
            return ()
        try:
            return self._take(value)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise malformed(error, value) from error

    @abstractmethod
    def _take(self, value: Json) -> Iterable[Event]:
        """What one object adds to the answer, whatever goes wrong with it."""

    def _note_usage(self, usage: object) -> None:
        """Keep what is said about tokens; what has no names for them says nothing."""
        if isinstance(usage, dict):
            self.usage = dict(usage)

    @abstractmethod
    def _text(self, text: str) -> Sequence[Event]:
        """What a piece of text adds to the answer."""

    @abstractmethod
    def _said(self, text: str) -> Event:
        """Take down a text that is shown."""

    def _told_apart(self, unwrapper: Unwrapper, text: str) -> list[Event]:
        """As `_text`, where not all of the text is shown as such."""
        return [
            self._thought(found) if is_thought else self._said(found)
            for is_thought, found in unwrapper.feed(text)
        ]

    def _thought(self, text: str) -> StreamEvent:
        self._has_reasoning = True
        return StreamEvent("reasoning", text, message_index=self._message_index)

    def finish(self) -> list[Event]:
        """What is left to say: half a character, and that there was reasoning nobody saw.

        Raises:
            ModelError: The server was done, and nothing of it was an answer.
        """
        if self._has_ended and not self.is_complete:
            self.is_complete = self._is_whole()
        self._need_answer()
        events: list[Event] = []
        if self._text(rest := self._mender.rest()):
            events.append(StreamEvent("text", rest, message_index=self._message_index))
        if self._unwrapper is not None and (left := self._unwrapper.end()):
            events.append(self._said(left))
        details = (self.usage or {}).get(self._details)
        counted = details.get("reasoning_tokens") if isinstance(details, dict) else None
        if counted and not self._has_reasoning:
            events.append(StreamEvent("reasoning", "", redacted=True))
        return events

    @abstractmethod
    def _is_whole(self) -> bool:
        """Whether what came before the end of the body can be all, although nothing says so."""

    def _need_answer(self) -> None:
        if self._answered or not (self._has_ended or self.is_complete):
            return
        from .reasons import told_by

        told = "it is empty" if self._unknown is None else told_by(self._unknown).text
        raise ModelError(f"The server's reply holds no answer: {told[:600]}")

    def calls(self) -> list[tuple[str, Json, str]]:
        """The tool calls to run here: name, arguments, id."""
        return [
            (call.name, llm.parse_arguments("".join(call.pieces)), call.id)
            for call in self._calls
            if call.name or call.pieces
        ]

    @abstractmethod
    def response_json(self) -> Json:
        """The answer as it is logged, without nulls."""

    def notices(self) -> list[str]:
        """What the user should be told about how the answer ended."""
        return [f"The model refused: {''.join(self._refusal)}"] if self._refusal else []

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, in the server's own word."""
        return None

    @property
    def resolved_model(self) -> str | None:
        """The exact model that the server says answered."""
        model = self._head.get("model")
        return model if isinstance(model, str) else None


def plain_message(message: Message) -> Json | None:
    """A message that is a text of a person or a model alone, as most of a long conversation are."""
    parts = message.parts
    if len(parts) > 1 or message.role not in ("user", "assistant"):
        return None
    text = parts[0].text if parts and isinstance(parts[0], TextPart) else ""
    return {"role": message.role, "content": text} if text else None


def user_messages(
    message: Message, attachment_item: Callable[[Attachment], Json], text_type: str
) -> list[Json]:
    """A user message as it is sent: a text, or items where something is attached; or not at all."""
    text = message.text()
    items = [
        attachment_item(part.attachment)
        for part in message.parts
        if isinstance(part, AttachmentPart) and part.attachment is not None
    ]
    content = [{"type": text_type, "text": text}, *items] if items and text else items or text
    return [{"role": "user", "content": content}] if content else []


def function_fields(tool: Tool) -> Json:
    """What either API is told of a tool that runs here."""
    return {
        "name": tool.name,
        "description": tool.description or None,
        "parameters": tool.input_schema,
    }


def data_url(attachment: Attachment, kind: str | None) -> str:
    """The content of an attachment in the form of an address."""
    return f"data:{kind};base64,{attachment.base64_content()}"


def plain_value(option: object) -> object:
    """The value of an option as it is sent: that of an enum is its text."""
    return getattr(option, "value", option)


def plain(value: object) -> Json:
    """A dict from an object of the `openai` library; a dict as it is."""
    if isinstance(value, dict):
        return value
    for method in ("to_dict", "model_dump", "dict"):
        if hasattr(value, method):
            make = getattr(value, method)
            try:
                # What its types do not expect is read all the same.
                shape: Json = make(warnings=False)
            except TypeError:
                shape = make()
            except UnicodeEncodeError:
                shape = _unpacked(value)
            return shape
    return dict(vars(value))


def _unpacked(value: Any) -> Any:
    """As `plain`, without pydantic's own way, which half a character ends."""
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    if not hasattr(value, "model_fields_set"):
        return value
    return {name: _unpacked(item) for name, item in value if name in value.model_fields_set}


def arguments_text(value: object) -> str:
    """Argument text as servers send it; some send the object itself instead of its JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def not_nulls(pairs: Iterable[tuple[str, object]]) -> Json:
    """Those of the pairs (options, for one) whose value is not `None`, as a dict."""
    return {name: value for name, value in pairs if value is not None}


def add_include(request: Json, name: str) -> None:
    """Let a request of the Responses API ask for something more."""
    include = request.setdefault("include", [])
    if name not in include:
        include.append(name)


def count_from(usage: Json, name: str) -> int | None:
    """A number of tokens, or `None` where the server gave none."""
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def ran_here(message: Message, kind: type[P]) -> Iterator[P]:
    """The calls or results of a message, without those of tools that a provider ran itself."""
    for part in message.parts:
        if isinstance(part, kind) and not part.server_executed:
            yield part


def redact_data(value: V) -> V:
    """Cut data URLs to `data:...` and audio to `...`, at any depth, in place; returns the value."""
    if isinstance(value, dict):
        value.update(_redacted(value))
    elif isinstance(value, list):
        value[:] = _redacted(value)
    return value


def _redacted(value: object, name: str = "") -> Any:
    """A copy of a JSON value without binary data; `name` is that of the field it stands in."""
    if isinstance(value, str):
        is_data = name in ("url", "image_url", "file_data") and value.startswith("data:")
        return "data:..." if is_data else value
    if isinstance(value, list):
        return list(map(_redacted, value))
    if not isinstance(value, dict):
        return value
    copy = {key: _redacted(item, key) for key, item in value.items()}
    return {**copy, "data": "..."} if name == "input_audio" and "data" in copy else copy


def redacted_messages(messages: list[Json]) -> list[Json]:
    """The messages of a request with binary data cut out; the request itself is left alone."""
    return [
        _redacted(message) if isinstance(message.get("content"), list) else message
        for message in messages
    ]


def listed_models(answer: Json) -> list[Json]:
    """The models that a server lists: in `data`, as a list on its own, or none at all."""
    listed: object = [answer] if "id" in answer else answer
    for name in ("value", "models", "data"):
        listed = answer.get(name, listed)
    if not isinstance(listed, (list, type(None))):
        raise malformed(TypeError("it lists no models"), answer)
    entries = [{"id": model} if isinstance(model, str) else model for model in listed or ()]
    return [entry for entry in entries if isinstance(entry, dict)]


def malformed(error: Exception, value: Json) -> ModelError:
    """The error for JSON that does not have the shape that the API promises."""
    try:
        shown = json.dumps(value)[:200]
    except (ValueError, RecursionError):
        shown = "a value that is nested too deeply"
    return ModelError(f"The server's answer has an unexpected shape ({error}): {shown}")
