"""Conversations made again from their plain JSON values; the counterpart of `portable`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..content import Fragment
from ..errors import UnknownModelError
from ..parts import AttachmentPart, Message, ToolResultPart
from ..text import JSONObject
from ..tools.calling import ToolResult
from ..tools.tool import ServerSideTool, Tool
from ..tools.toolbox import Toolbox
from .portable import INSTANCE, parents_of
from .prompt import Prompt, wrap_tools
from .shape_checks import checked

if TYPE_CHECKING:
    from datetime import datetime

    from ..serialization import ConversationDict, InstanceDict, ToolDict, TurnDict
    from .base import _BaseModel
    from .conversation import _BaseConversation
    from .prompt import AnyTool, ToolDef
    from .response_base import _BaseResponse

C = TypeVar("C", bound="_BaseConversation[Any, Any]")


def revived(
    make: Callable[[Any], C],
    response_class: type[_BaseResponse],
    shape: Any,
    model: _BaseModel | None,
    tools: Iterable[ToolDef] | None,
) -> C:
    """The conversation that its JSON values describe, with the model of that name if none is given.

    Args:
        make: Makes an empty conversation with a model.
        response_class: What its responses are made of.

    Raises:
        InvalidInput: They describe no conversation.
        UnknownModelError: No model of that name is installed.
    """
    import llm

    checked_shape = checked(shape)
    look_up = llm.get_async_model if response_class.is_async else llm.get_model
    conversation = make(model or look_up(checked_shape["model"]))
    fill_conversation(conversation, checked_shape, response_class, tools)
    return conversation


def fill_conversation(
    conversation: _BaseConversation[Any, Any],
    shape: ConversationDict,
    response_class: type[_BaseResponse],
    tools: Iterable[ToolDef] | None,
) -> None:
    """Give a new conversation everything that its JSON values hold.

    Args:
        conversation: The conversation, with its model.
        shape: The values.
        response_class: What its responses are made of.
        tools: Functions and toolboxes to take in place of tools of the same names.
    """
    model = conversation.model
    nodes = Nodes(shape)
    boxes = Toolboxes(model, tools or ())
    known = [boxes.tool(entry) for entry in shape.get("tools", ())]
    fragments = [
        Fragment(entry["content"], entry.get("source", "")) for entry in shape.get("fragments", ())
    ]
    conversation.id = shape["id"]
    conversation.name = shape["name"]
    conversation.chain_limit = shape.get("chain_limit")
    conversation.loaded_tools = shape.get("loaded_tools")
    if "offered_tools" in shape:
        conversation.tools = [known[number] for number in shape["offered_tools"]]
    for turn in shape["turns"]:
        prompt = _prompt(turn, nodes, _model_of(turn, model), known, fragments, boxes)
        response = response_class.restored(
            prompt,
            prompt.model,
            id=turn["id"],
            conversation=conversation,
            messages=nodes.between(turn["input"], turn["output"]),
            started=_moment(turn.get("datetime_utc")),
            duration_ms=turn.get("duration_ms", 0),
        )
        usage = turn.get("usage", {})
        response.set_usage(**usage)
        response.resolved_model = turn.get("resolved_model")
        response.response_json = turn.get("response_json")
        response._prompt_json = turn.get("prompt_json")
        if "outcome" in turn:
            status, error_class, error = turn["outcome"]
            response.outcome = (status, error_class, error)
        # Plugins of the time before messages look for earlier attachments here.
        response.attachments = list(prompt.attachments)
        conversation.append(response)
    end = shape["turns"][-1]["output"] if shape["turns"] else None
    if shape["tip"] is not None and shape["tip"] != end:
        conversation.loaded_messages = nodes.upto(shape["tip"])


class Nodes:
    """The messages of a conversation in JSON values, as objects."""

    def __init__(self, shape: ConversationDict) -> None:
        self.parents = parents_of(shape)
        self.messages = [Message.from_dict(node) for node in shape["messages"]]

    def numbers_upto(self, end: int | None) -> list[int]:
        """The numbers of the messages from the first one to `end`."""
        numbers = []
        while end is not None:
            numbers.append(end)
            end = self.parents[end]
        return numbers[::-1]

    def upto(self, end: int | None) -> list[Message]:
        """The messages from the first one to number `end`."""
        return [self.messages[number] for number in self.numbers_upto(end)]

    def between(self, start: int | None, end: int | None) -> list[Message]:
        """The messages behind number `start` up to number `end`."""
        numbers = self.numbers_upto(end)
        first = numbers.index(start) + 1 if start in numbers else 0
        return [self.messages[number] for number in numbers[first:]]


def _model_of(turn: TurnDict, model: _BaseModel) -> _BaseModel:
    """The model of a turn, if it is installed; else that of the conversation."""
    if turn["model"] == model.model_id:
        return model
    import llm

    look_up = llm.get_async_model if model.is_async else llm.get_model
    try:
        return look_up(turn["model"])
    except UnknownModelError:
        return model


def _prompt(
    turn: TurnDict,
    nodes: Nodes,
    model: _BaseModel,
    tools: Sequence[AnyTool],
    fragments: Sequence[Fragment],
    boxes: Toolboxes,
) -> Prompt:
    prompt = prompt_of(
        nodes.upto(turn["input"]),
        model,
        options=restored_options(model, turn.get("options")),
        schema=turn.get("schema"),
        tools=[tools[number] for number in turn.get("tools", ())],
        fragments=[fragments[number] for number in turn.get("fragments", ())],
        system_fragments=[fragments[number] for number in turn.get("system_fragments", ())],
        system=turn.get("system"),
    )
    prompt.hide_reasoning = turn.get("hide_reasoning", False)
    instances = turn.get("tool_instances", {})
    for result in prompt.tool_results:
        if result.tool_call_id in instances:
            shape = instances[result.tool_call_id]
            result.instance = boxes.instance(shape)
            vars(result)[INSTANCE] = shape
    return prompt


def prompt_of(
    inputs: list[Message],
    model: _BaseModel,
    *,
    options: Any = None,
    schema: JSONObject | None = None,
    tools: Sequence[ToolDef] = (),
    fragments: Sequence[str] = (),
    system_fragments: Sequence[str] = (),
    system: str | None = None,
) -> Prompt:
    """The prompt whose complete chain is `inputs`; its own part is the end of it."""
    first = len(inputs)
    while first and inputs[first - 1].role in ("user", "tool"):
        first -= 1
    own = inputs[first:]
    said = [message for message in own if message.role == "user"]
    prompt = Prompt(
        _typed("".join([message.text() for message in said]), fragments),
        model,
        fragments=fragments,
        attachments=[
            part.attachment
            for message in said
            for part in message.parts
            if isinstance(part, AttachmentPart) and part.attachment is not None
        ],
        system=system,
        system_fragments=system_fragments,
        options=options,
        schema=schema,
        tools=tools,
        tool_results=[
            tool_result(part)
            for message in own
            for part in message.parts
            if isinstance(part, ToolResultPart)
        ],
    )
    prompt.full_messages = inputs
    return prompt


def _typed(text: str, fragments: Sequence[str]) -> str:
    """What was typed of a text that begins with fragments."""
    return text.removeprefix("\n".join(fragments)).removeprefix("\n") if fragments else text


def tool_result(part: ToolResultPart) -> ToolResult:
    """The result that a message tells."""
    return ToolResult(
        name=part.name,
        output=part.output,
        attachments=list(part.attachments),
        tool_call_id=part.tool_call_id,
        exception=remembered_exception(part.exception) if part.exception else None,
    )


def remembered_exception(text: str) -> Exception:
    """An exception that reads like the one that was stored as `ClassName: message`."""
    name, colon, message = text.partition(": ")
    if not colon or not name.isidentifier():
        name, message = "Exception", text
    error: Exception = type(name, (Exception,), {})(message)
    return error


def restored_options(model: _BaseModel, values: Mapping[str, Any] | None) -> Any:
    """The options of a stored prompt; those that the model does not take any more are left out."""
    if not values:
        return None
    from pydantic import ValidationError

    fields = model.Options.model_fields
    known = {name: value for name, value in values.items() if name in fields}
    try:
        return model.Options(**known)
    except ValidationError as error:
        refused = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        good = {name: value for name, value in known.items() if name not in refused}
        return model.Options(**good) if refused else None


class Toolboxes:
    """Makes tools again: those that are given, those of plugins, and toolboxes, each of them once.

    Args:
        model: The model, which knows the tools that its provider runs.
        given: Functions, tools and toolboxes that win over those of the same name.
    """

    def __init__(self, model: _BaseModel, given: Iterable[ToolDef]) -> None:
        sources = list(given)
        self._given = {tool.name: tool for tool in wrap_tools(sources)}
        self._model = model
        self._instances: JSONObject = {}
        for box in sources:
            if isinstance(box, Toolbox):
                self._instances[type(box).__name__] = box

    def tool(self, shape: ToolDict) -> AnyTool:
        """The tool; without a function to call where nobody has it any more."""
        name = shape["name"]
        given = self._given.get(name)
        if given is not None:
            return given
        if "instance" in shape:
            owner = self.instance(shape["instance"])
            if isinstance(owner, ServerSideTool):
                return owner
            for tool in owner.tools() if owner is not None else ():
                if isinstance(tool, Tool) and tool.name == name:
                    return tool
        elif "plugin" in shape:
            registered = _registered().get(name)
            if isinstance(registered, Tool):
                return registered
        tool = Tool(name, shape["description"], shape["input_schema"], None, shape.get("plugin"))
        if "instance" in shape:
            vars(tool)[INSTANCE] = shape["instance"]
        return tool

    def instance(self, shape: InstanceDict) -> Any:
        """The toolbox or provider tool, made with the same arguments; `None` if that fails."""
        key = f"{shape['name']}({shape['arguments']!r})"
        if shape["name"] in self._instances:
            return self._instances[shape["name"]]
        if key not in self._instances:
            self._instances[key] = self._make(shape)
        return self._instances[key]

    def _make(self, shape: InstanceDict) -> Any:
        classes: JSONObject = {
            tool.__name__: tool for tool in self._model.supported_server_side_tools
        }
        classes.setdefault(ServerSideTool.__name__, ServerSideTool)
        for registered in _registered().values():
            if isinstance(registered, type):
                classes[registered.__name__] = registered
        try:
            return classes[shape["name"]](**shape["arguments"])
        except Exception:  # a plugin's class, which may have changed since
            return None


def _registered() -> Mapping[str, Any]:
    import llm

    return llm.get_tools()


def _moment(text: str | None) -> datetime | None:
    from datetime import datetime

    # Python 3.10 does not know the Z that others write for UTC.
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
