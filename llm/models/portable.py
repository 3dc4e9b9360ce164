"""Conversations as plain JSON values: every message once, and what each turn was and cost.

The messages form a tree: most turns go on where the one before ended, but nothing says that they
must. A message knows its predecessor, a turn the last message that it was given and the last one
that it gave.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from ..content import Fragment
from ..errors import InvalidInput
from ..text import JSONObject
from ..text.ids import new_ulid
from ..text.shaping import conversation_name
from ..tools.tool import ServerSideTool
from .options import option_values

if TYPE_CHECKING:
    from ..parts import Message
    from ..serialization import ConversationDict, InstanceDict, MessageNodeDict, TurnDict
    from .conversation import _BaseConversation
    from .prompt import AnyTool, Prompt
    from .response_base import _BaseResponse

FORMAT = "llm-conversation"
CHAIN_FORMAT = "llm-chain"
VERSION = 1
# Where tools and results whose toolbox could not be made again remember which one it was.
INSTANCE = "_instance"


class MessageTree:
    """Messages, each stored once with the number of its predecessor."""

    def __init__(self) -> None:
        self.nodes: list[MessageNodeDict] = []
        self.messages: list[Message] = []
        self._successors: dict[int | None, list[int]] = {}
        self._known: dict[tuple[int | None, int], int] = {}
        # Those that are equal to another one: their identity is known as long as they live.
        self._doubles: list[Message] = []

    def add(self, messages: Iterable[Message], parent: int | None = None) -> int | None:
        """Put in what is new of `messages`, and give the number of the last one.

        Args:
            messages: The messages, oldest first.
            parent: The number of the message before them.
        """
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
        number = len(self.nodes)
        self.messages.append(message)
        siblings.append(number)
        shape: Any = message.to_dict()
        self.nodes.append(node(shape, parent, number))
        return number


def node(shape: Any, parent: int | None, number: int) -> MessageNodeDict:
    """The entry of a message; its predecessor is named where it is not the entry before."""
    before = number - 1 if number else None
    return cast("MessageNodeDict", shape if parent == before else {"parent": parent, **shape})


def conversation_dict(
    conversation: _BaseConversation[Any, Any], tree: MessageTree | None = None
) -> ConversationDict:
    """Everything that a conversation holds, apart from functions.

    Args:
        conversation: The conversation.
        tree: Takes up the messages, for callers who want them as objects too.
    """
    tree = tree or MessageTree()
    tools, fragments = Table(), Table()
    responses = conversation.all_responses()
    turns = [_turn(response, tree, tools, fragments) for response in responses]
    shape: JSONObject = {
        "format": FORMAT,
        "version": VERSION,
        "id": conversation.id,
        "name": conversation.name,
        "model": conversation.model.model_id,
        "messages": tree.nodes,
        "turns": turns,
    }
    if conversation.loaded_messages:
        shape["tip"] = tree.add(conversation.loaded_messages)
    else:
        shape["tip"] = turns[-1]["output"] if turns else None
    if conversation.tools:
        from .prompt import wrap_tools

        offered = [tools.add(tool_dict(tool)) for tool in wrap_tools(conversation.tools)]
        shape["offered_tools"] = offered
    for name in ("chain_limit", "loaded_tools"):
        if getattr(conversation, name) is not None:
            shape[name] = getattr(conversation, name)
    if tools.entries:
        shape["tools"] = tools.entries
    if fragments.entries:
        shape["fragments"] = fragments.entries
    return cast("ConversationDict", shape)


class Table:
    """Values that turns refer to by number, each of them once.

    Args:
        entries: Those that are in it to begin with.
    """

    def __init__(self, entries: Iterable[Any] = ()) -> None:
        self.entries: list[Any] = []
        self._numbers: dict[str, int] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Any) -> int:
        """The number of an entry, which is put in if it is new."""
        text = json.dumps(entry, sort_keys=True)
        if text not in self._numbers:
            self._numbers[text] = len(self.entries)
            self.entries.append(entry)
        return self._numbers[text]


def _turn(response: _BaseResponse, tree: MessageTree, tools: Table, fragments: Table) -> TurnDict:
    prompt = response.prompt
    count = len(tree.nodes)
    given = tree.add(prompt.full_messages)
    texts = [*prompt.fragments, *prompt.system_fragments]
    for entry, message in zip(tree.nodes[count:], tree.messages[count:], strict=True):
        used = [fragments.add(fragment_dict(text)) for text in texts if occurs(text, message)]
        if used:
            entry["fragments"] = used
    turn: JSONObject = {
        "id": response.id,
        "model": response.model.model_id,
        "input": given,
        "output": tree.add(response.output_messages(), given),
    }
    usage = {
        name: value for name, value in vars(response.usage_so_far()).items() if value is not None
    }
    optional = {
        "options": plain(option_values(prompt)),
        "system": prompt.own_system,
        "schema": prompt.schema,
        "tools": [tools.add(tool_dict(tool)) for tool in prompt.tools],
        "fragments": [fragments.add(fragment_dict(text)) for text in prompt.fragments],
        "system_fragments": [fragments.add(fragment_dict(t)) for t in prompt.system_fragments],
        "tool_instances": _result_instances(prompt),
        "hide_reasoning": prompt.hide_reasoning,
        "usage": usage,
        "resolved_model": response.resolved_model,
        "datetime_utc": response.started_utc(),
        "duration_ms": response.elapsed_ms(),
        "outcome": list(response.outcome or ()),
        "prompt_json": plain(response._prompt_json),
        "response_json": plain(response.response_json),
    }
    turn.update((name, value) for name, value in optional.items() if value)
    return cast("TurnDict", turn)


def occurs(text: str, message: Message) -> bool:
    """Whether a text of the message has `text` in it."""
    return any(text in getattr(part, "text", "") for part in message.parts)


def _result_instances(prompt: Prompt) -> dict[str, InstanceDict]:
    """The toolbox of each tool result that came from one, by the id of the call."""
    found = {}
    for result in prompt.tool_results:
        instance = instance_dict(result.instance) or vars(result).get(INSTANCE)
        if instance is not None and result.tool_call_id is not None:
            found[result.tool_call_id] = instance
    return found


def fragment_dict(text: str) -> dict[str, str]:
    """A fragment as JSON values: its text, and its source where it has one."""
    source = text.source if isinstance(text, Fragment) else ""
    content = str.__str__(text)
    return {"content": content, "source": source} if source else {"content": content}


def tool_dict(tool: AnyTool) -> JSONObject:
    """What a model is told of a tool, and how to make it again: its plugin, its toolbox."""
    shape: JSONObject = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
    }
    if tool.plugin is not None:
        shape["plugin"] = tool.plugin
    is_server_side = isinstance(tool, ServerSideTool)
    owner = tool if is_server_side else getattr(tool.implementation, "__self__", None)
    instance = instance_dict(owner) or vars(tool).get(INSTANCE)
    if instance is not None:
        shape["instance"] = instance
    if is_server_side:
        shape["server_side"] = True
    return shape


def instance_dict(owner: Any) -> InstanceDict | None:
    """Class and arguments of a toolbox or provider tool; `None` for what has no configuration."""
    arguments = getattr(owner, "_config", None)
    if not isinstance(arguments, dict):
        return None
    shape: JSONObject = {"name": type(owner).__name__, "arguments": plain(arguments)}
    if getattr(owner, "plugin", None) is not None:
        shape["plugin"] = owner.plugin
    return cast("InstanceDict", shape)


def plain(value: Any) -> Any:
    """`value` in JSON values alone; what JSON cannot express becomes its `str()`."""
    return json.loads(json.dumps(value, default=str)) if value else value


def parents_of(shape: ConversationDict) -> list[int | None]:
    """The number of the predecessor of each message; `None` where there is none.

    Raises:
        InvalidInput: A message names one that does not come before it.
    """
    parents: list[int | None] = []
    for number, node in enumerate(shape["messages"]):
        parent = node.get("parent", number - 1 if number else None)
        if parent is not None and not 0 <= parent < number:
            raise InvalidInput(f"Message {number} of the conversation has no predecessor")
        parents.append(parent)
    return parents


def from_messages(
    messages: Iterable[Any], model_id: str | None, *, name: str | None = None
) -> ConversationDict:
    """A conversation of messages alone, given as dictionaries: an answer ends a turn.

    Args:
        messages: The messages, oldest first.
        model_id: The model that is said to have answered.
        name: The title; the beginning of the first prompt where missing.
    """
    nodes = list(messages)
    shape: Any = {
        "format": FORMAT,
        "version": VERSION,
        "id": new_ulid(),
        "name": name or conversation_name(_first_text(nodes)),
        "model": model_id,
        "messages": nodes,
        "turns": [],
        "tip": len(nodes) - 1 if nodes else None,
    }
    if model_id is not None:
        shape["turns"] = turns_of(shape, model_id)
    conversation: ConversationDict = shape
    return conversation


def _first_text(nodes: Iterable[Any]) -> str:
    """The text of the first message of the user."""
    for entry in nodes:
        if entry["role"] == "user":
            return "".join([part.get("text", "") for part in entry["parts"]])
    return ""


def turns_of(shape: ConversationDict, model_id: str) -> list[TurnDict]:
    """The turns that the messages up to the tip look like: each run of answers ends one."""
    from datetime import datetime, timezone

    now = datetime.now(timezone.utc).isoformat()
    numbers: list[int] = []
    end = shape["tip"]
    parents = parents_of(shape)
    while end is not None:
        numbers.append(end)
        end = parents[end]
    numbers.reverse()
    turns: list[TurnDict] = []
    given: int | None = None
    for number, following in zip(numbers, [*numbers[1:], None], strict=False):
        if shape["messages"][number]["role"] != "assistant":
            given = number
        elif following is None or shape["messages"][following]["role"] != "assistant":
            turns.append(
                {
                    "id": new_ulid(),
                    "model": model_id,
                    "input": given,
                    "output": number,
                    "datetime_utc": now,
                }
            )
    return turns
