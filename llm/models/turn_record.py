"""A turn as a record, and a response as a turn: the one form in which turns are kept and travel.

The record is a `TurnDict`: plain values, and numbers of messages, tools and fragments that stand
in `Tables`. The journal holds it, the log is written from it and read into it, conversations are
exported and imported as it. A response becomes one and comes from one here, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..content import Fragment
from ..errors import InvalidInput
from ..parts import AttachmentPart, Message, ToolResultPart
from ..text import JSONObject
from ..tools.calling import ToolResult
from ..tools.tool import ServerSideTool, definition_of
from ..tools.toolbox import Toolbox
from .options import option_values
from .prompt import Prompt

if TYPE_CHECKING:
    from datetime import datetime

    from ..serialization import (
        ConversationDict,
        FragmentDict,
        InstanceDict,
        MessageNodeDict,
        ToolDict,
        TurnDict,
        UsageDict,
    )
    from .base import _BaseModel
    from .options import Options
    from .prompt import AnyTool
    from .response_base import _BaseResponse

    R = TypeVar("R", bound=_BaseResponse)

E = TypeVar("E")

# Where tools and results whose toolbox could not be made again remember which one it was.
INSTANCE = "_instance"


class Tables:
    """What the records of some turns refer to by number, each thing once.

    The messages form a tree: most turns go on where the one before ended, but nothing says that
    they must. A message knows its predecessor, a turn the last message that it was given and the
    last one that it gave.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.parents: list[int | None] = []
        #: The numbers of the messages with which turns ended.
        self.ends: set[int | None] = set()
        #: The numbers of the fragments that occur in a message, by its number.
        self.fragments_in: dict[int, list[int]] = {}
        self.tools: list[ToolDict] = []
        self.fragments: list[FragmentDict] = []
        self._numbers: dict[Hashable, int] = {}
        self._successors: dict[int | None, list[int]] = {}
        self._known: dict[tuple[int | None, int], int] = {}
        # Each message goes on where the one before it ends.
        self._is_chain = True
        # Those that are equal to another one: their identity is known as long as they live.
        self._doubles: list[Message] = []

    @classmethod
    def from_dict(cls, shape: ConversationDict) -> Tables:
        """The tables of a conversation in JSON values; to be read, not to be added to.

        Raises:
            InvalidInput: A message names a predecessor that does not come before it.
            ValueError: The content of an attachment is not valid base64.
        """
        tables = cls()
        tables.parents = parents_of(shape)
        tables._is_chain = all(_before(n) == parent for n, parent in enumerate(tables.parents))
        tables.messages = [Message.from_dict(node) for node in shape["messages"]]
        tables.ends = {turn["output"] for turn in shape["turns"]}
        tables.fragments_in = dict(enumerate(n.get("fragments", []) for n in shape["messages"]))
        tables.tools = list(shape.get("tools", ()))
        tables.fragments = list(shape.get("fragments", ()))
        return tables

    def add_messages(self, messages: Iterable[Message], parent: int | None = None) -> int | None:
        """Put in what is new of messages that follow number `parent`; the number of the last."""
        for message in messages:
            number = self._known.get((parent, id(message)))
            if number is None:
                number = self._place(message, parent)
                self._known[parent, id(message)] = number
            parent = number
        return parent

    def _place(self, message: Message, parent: int | None) -> int:
        siblings = self._successors.setdefault(parent, [])
        for number in siblings:
            if self.messages[number] == message:
                self._doubles.append(message)
                return number
        number = len(self.messages)
        self.messages.append(message)
        self.parents.append(parent)
        siblings.append(number)
        self._is_chain = self._is_chain and parent == _before(number)
        return number

    def add_tool(self, tool: ToolDict) -> int:
        """The number of a tool, which is put in if it is new."""
        return self._add(self.tools, tool, json.dumps(tool, sort_keys=True))

    def add_fragment(self, fragment: FragmentDict) -> int:
        """The number of a fragment, which is put in if it is new."""
        key = (fragment["content"], fragment.get("source"))
        return self._add(self.fragments, fragment, key)

    def add_fragments(self, texts: Sequence[str], first: int) -> list[int]:
        """The numbers of the fragments of a prompt, whose messages are those from `first` on."""
        for number in range(first, len(self.messages) if texts else first):
            message = self.messages[number]
            self.fragments_in[number] = [
                self.add_fragment(_fragment_dict(text))
                for text in texts
                if any(text in getattr(part, "text", "") for part in message.parts)
            ]
        return [self.add_fragment(_fragment_dict(text)) for text in texts]

    def _add(self, table: list[E], entry: E, key: Hashable) -> int:
        number = self._numbers.setdefault(key, len(table))
        if number == len(table):
            table.append(entry)
        return number

    def fragments_of(self, numbers: Iterable[int]) -> list[Fragment]:
        """Some fragments as objects."""
        entries = [self.fragments[number] for number in numbers]
        return [Fragment(entry["content"], entry.get("source", "")) for entry in entries]

    def upto(self, end: int | None) -> list[Message]:
        """The messages from the first one to number `end`."""
        if end is not None and self._is_chain:
            return self.messages[: end + 1]
        return [self.messages[number] for number in self.between(None, end)]

    def between(self, start: int | None, end: int | None) -> list[int]:
        """The numbers of the messages behind `start` up to `end`."""
        return path_to(end, self.parents, start)

    def nodes(self) -> list[MessageNodeDict]:
        """The messages in JSON values."""
        nodes = []
        for number, (message, parent) in enumerate(zip(self.messages, self.parents, strict=True)):
            node: JSONObject = {} if parent == _before(number) else {"parent": parent}
            node.update(message.to_dict())
            if self.fragments_in.get(number):
                node["fragments"] = self.fragments_in[number]
            nodes.append(cast("MessageNodeDict", node))
        return nodes


def path_to(end: int | None, parents: Sequence[int | None], after: int | None = None) -> list[int]:
    """The numbers of the messages up to `end`, those behind `after` only."""
    numbers: list[int] = []
    while end is not None and end != after:
        numbers.append(end)
        end = parents[end]
    return numbers[::-1]


def _before(number: int) -> int | None:
    return number - 1 if number else None


def parents_of(shape: ConversationDict) -> list[int | None]:
    """The number of the predecessor of each message; `None` where there is none.

    Raises:
        InvalidInput: A message names one that does not come before it.
    """
    parents: list[int | None] = []
    for number, node in enumerate(shape["messages"]):
        parent = node.get("parent", _before(number))
        if parent is not None and not 0 <= parent < number:
            raise InvalidInput(f"Message {number} of the conversation has no predecessor")
        parents.append(parent)
    return parents


def known_usage(response: _BaseResponse) -> UsageDict:
    """What is known of the tokens that a response cost, by name."""
    usage = vars(response.usage_so_far())
    return cast("UsageDict", {name: value for name, value in usage.items() if value is not None})


def record_turn(response: _BaseResponse, tables: Tables, skip: int = 0) -> TurnDict:
    """The record of a response that has ended; the tables take up what it refers to.

    Args:
        skip: How many messages of its history are left out, because they are stored elsewhere.
    """
    turn = record_request(response, tables, skip)
    turn["output"] = tables.add_messages(response.output_messages(), turn["input"])
    optional = {
        "usage": known_usage(response) or None,
        "resolved_model": response.resolved_model or None,
        "datetime_utc": response.started_utc() or None,
        "duration_ms": response.elapsed_ms() or None,
        "outcome": list(response.outcome) if response.outcome else None,
        "prompt_json": response._prompt_json,
        "response_json": response.response_json,
    }
    answer = {name: value for name, value in optional.items() if value is not None}
    turn.update(cast("TurnDict", answer))
    return turn


def record_request(response: _BaseResponse, tables: Tables, skip: int = 0) -> TurnDict:
    """The record of a response that has not answered yet; see `record_turn`."""
    prompt = response.prompt
    count = len(tables.messages)
    messages = prompt.full_messages
    given = tables.add_messages(messages[skip:] if skip else messages)
    numbers = tables.add_fragments([*prompt.fragments, *prompt.system_fragments], count)
    optional = {
        "options": plain(option_values(prompt)),
        "system": prompt.own_system,
        "schema": prompt.schema,
        "tools": [tables.add_tool(tool_dict(tool)) for tool in prompt.tools],
        "fragments": numbers[: len(prompt.fragments)],
        "system_fragments": numbers[len(prompt.fragments) :],
        "tool_instances": instances_of(prompt.tool_results),
        "hide_reasoning": prompt.hide_reasoning,
    }
    turn: JSONObject = {
        "id": response.id,
        "model": response.model.model_id,
        "input": given,
        "output": None,
        **{name: value for name, value in optional.items() if value},
    }
    return cast("TurnDict", turn)


def instances_of(results: Iterable[ToolResult]) -> dict[str, InstanceDict]:
    """The toolbox of each tool result that came from one, by the id of the call."""
    found: dict[str, InstanceDict] = {}
    for result in results:
        instance = instance_dict(result.instance) or vars(result).get(INSTANCE)
        if instance is not None and result.tool_call_id is not None:
            found.setdefault(result.tool_call_id, instance)
    return found


def _fragment_dict(text: str) -> FragmentDict:
    """A fragment as JSON values: its text, and its source where it has one."""
    shape: FragmentDict = {"content": str.__str__(text)}
    if isinstance(text, Fragment):
        shape["source"] = text.source
    return shape


def tool_dict(tool: AnyTool) -> ToolDict:
    """What a model is told of a tool, and how to make it again: its plugin, its toolbox."""
    is_server_side = isinstance(tool, ServerSideTool)
    owner = tool if is_server_side else getattr(tool.implementation, "__self__", None)
    return definition_of(tool, instance_dict(owner) or vars(tool).get(INSTANCE))


def instance_dict(owner: object) -> InstanceDict | None:
    """Class and arguments of a toolbox or provider tool; `None` for what has no configuration."""
    arguments = getattr(owner, "_config", None)
    if not isinstance(arguments, dict):
        return None
    shape: InstanceDict = {"name": type(owner).__name__, "arguments": plain(arguments)}
    plugin = getattr(owner, "plugin", None)
    if plugin is not None:
        shape["plugin"] = plugin
    return shape


def plain(value: object) -> Any:
    """`value` in JSON values alone; what JSON cannot express becomes its `str()`."""
    return json.loads(json.dumps(value, default=str)) if value else value


def restore_response(
    turn: TurnDict,
    tables: Tables,
    model: _BaseModel,
    response_class: type[R],
    *,
    conversation: object,
    tools: Sequence[AnyTool],
    find_instance: Callable[[InstanceDict], object] = lambda shape: None,
) -> R:
    """The finished response of a record.

    Args:
        model: The model that is said to have answered.
        tools: The tools of the tables, as objects.
        find_instance: Gives the toolbox that a result came from.
    """
    prompt = _restore_prompt(turn, tables, model, tools, find_instance)
    response = response_class.restored(
        prompt,
        model,
        id=turn["id"],
        conversation=conversation,
        messages=[tables.messages[n] for n in tables.between(turn["input"], turn["output"])],
        started=moment_of(turn.get("datetime_utc")),
        duration_ms=turn.get("duration_ms", 0),
    )
    response.set_usage(**turn.get("usage", {}))
    response.resolved_model = turn.get("resolved_model")
    response.response_json = turn.get("response_json")
    response._prompt_json = turn.get("prompt_json")
    if "outcome" in turn:
        status, error_class, error = turn["outcome"]
        response.outcome = (status, error_class, error)
    # Plugins of the time before messages look for earlier attachments here.
    response.attachments = list(prompt.attachments)
    return response


def _restore_prompt(
    turn: TurnDict,
    tables: Tables,
    model: _BaseModel,
    tools: Sequence[AnyTool],
    find_instance: Callable[[InstanceDict], object],
) -> Prompt:
    """The prompt whose complete chain is the input of a turn; its own part is the end of that."""
    inputs = tables.upto(turn["input"])
    own = _own_input(turn["input"], tables)
    parts = [part for message in own for part in message.parts]
    fragments = tables.fragments_of(turn.get("fragments", ()))
    instances = turn.get("tool_instances", {})
    prompt = Prompt(
        _typed_text(own, fragments),
        model,
        fragments=fragments,
        attachments=[
            part.attachment
            for part in parts
            if isinstance(part, AttachmentPart) and part.attachment is not None
        ],
        system=turn.get("system"),
        system_fragments=tables.fragments_of(turn.get("system_fragments", ())),
        options=_restored_options(model, turn.get("options")),
        schema=turn.get("schema"),
        tools=[tools[number] for number in turn.get("tools", ())],
        tool_results=[
            _tool_result(part, instances.get(part.tool_call_id or ""), find_instance)
            for part in parts
            if isinstance(part, ToolResultPart)
        ],
        hide_reasoning=turn.get("hide_reasoning", False),
    )
    prompt.full_messages = inputs
    return prompt


def _own_input(last: int | None, tables: Tables) -> list[Message]:
    """What the user and tools said at the end of a chain, since the last turn ended."""
    own: list[Message] = []
    number = last
    while number is not None and (not own or number not in tables.ends):
        message = tables.messages[number]
        if message.role not in ("user", "tool"):
            break
        own.append(message)
        number = tables.parents[number]
    return own[::-1]


def _typed_text(messages: Iterable[Message], fragments: Sequence[str]) -> str:
    """What was typed of messages of the user that begin with fragments."""
    text = "".join([message.text() for message in messages if message.role == "user"])
    return text.removeprefix("\n".join(fragments)).removeprefix("\n") if fragments else text


def _tool_result(
    part: ToolResultPart,
    instance: InstanceDict | None,
    find_instance: Callable[[InstanceDict], object],
) -> ToolResult:
    """The result that a message tells, with the toolbox that it came from."""
    result = ToolResult(part.name, part.output, list(part.attachments), part.tool_call_id)
    if part.exception:
        result.exception = remembered_exception(part.exception)
    if instance is not None:
        vars(result)[INSTANCE] = instance
        owner = find_instance(instance)
        result.instance = owner if isinstance(owner, Toolbox) else None
    return result


def remembered_exception(text: str) -> Exception:
    """An exception that reads like the one that was stored as `ClassName: message`."""
    name, colon, message = text.partition(": ")
    if not colon or not name.isidentifier():
        name, message = "Exception", text
    error: Exception = type(name, (Exception,), {})(message)
    return error


def _restored_options(model: _BaseModel, values: Mapping[str, object] | None) -> Options | None:
    """The options of a stored prompt; those that the model does not take any more are left out."""
    if not values:
        return None
    from pydantic import ValidationError

    options_class: type[Options] = model.Options
    known = {name: values[name] for name in values if name in options_class.model_fields}
    try:
        return options_class(**known)
    except ValidationError as error:
        refused = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        good = {name: known[name] for name in known if name not in refused}
        return options_class(**good) if refused else None


def moment_of(text: str | None) -> datetime | None:
    """The moment that a stored text names, taken as UTC where it does not say; else `None`."""
    from datetime import datetime, timezone

    try:
        # Python 3.10 does not know the Z that others write for UTC.
        moment = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
