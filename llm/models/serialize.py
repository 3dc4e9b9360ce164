"""Conversations, and single responses, as plain JSON values, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from ..errors import InvalidInput, UnknownModelError
from ..parts import Message
from ..text import conversation_name, new_ulid
from ..tools.tool import ServerSideTool, Tool
from ..tools.toolbox import Toolbox
from .asking import installed_model
from .options import option_values
from .prompt import Prompt, wrap_tools
from .turn_record import (
    INSTANCE,
    Tables,
    known_usage,
    moment_of,
    parents_of,
    path_to,
    plain,
    record_turn,
    restore_response,
    tool_dict,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

    from ..serialization import (
        ConversationDict,
        InstanceDict,
        MessageDict,
        MessageNodeDict,
        PromptDict,
        ResponseDict,
        ToolDict,
        TurnDict,
    )
    from .base import _BaseModel
    from .conversation import _BaseConversation
    from .prompt import AnyTool, ToolDef
    from .response_base import _BaseResponse

    R = TypeVar("R", bound=_BaseResponse)
    C = TypeVar("C", bound=_BaseConversation[Any, Any])

FORMAT: Final = "llm-conversation"
CHAIN_FORMAT: Final = "llm-chain"
VERSION = 1


def conversation_dict(conversation: _BaseConversation[R, Any]) -> ConversationDict:
    """Everything that a conversation holds, apart from functions."""
    tables = Tables()
    turns = [record_turn(response, tables) for response in conversation.all_responses()]
    shape = serialize_conversation(
        conversation.id,
        conversation.name,
        conversation.model.model_id,
        turns,
        tables,
        conversation.loaded_messages,
    )
    if conversation.tools:
        offered = [tables.add_tool(tool_dict(tool)) for tool in wrap_tools(conversation.tools)]
        shape["offered_tools"] = offered
    if conversation.chain_limit is not None:
        shape["chain_limit"] = conversation.chain_limit
    if conversation.loaded_tools is not None:
        shape["loaded_tools"] = conversation.loaded_tools
    for fragment in tables.fragments:
        if not fragment.get("source"):
            fragment.pop("source", None)
    add_tables(shape, tables)
    return shape


def serialize_conversation(
    id: str,
    name: str | None,
    model_id: str | None,
    turns: Sequence[TurnDict],
    tables: Tables,
    history: Sequence[Message] | None,
) -> ConversationDict:
    """The JSON values of a conversation, but for tools and fragments; see `add_tables`.

    Args:
        turns: Its turns, oldest first, which refer to `tables`.
        history: The messages that it goes on from; those of the last turn where missing.
    """
    for turn in turns:
        for key in ("prompt_json", "response_json"):
            if key in turn:
                # JSON values alone, without what is empty.
                turn[key] = plain(turn[key])
                if not turn[key]:
                    del turn[key]
    end = turns[-1]["output"] if turns else None
    tip = tables.add_messages(history) if history else end
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": id,
        "name": name,
        "model": model_id,
        "messages": tables.nodes(),
        "turns": list(turns),
        "tip": tip,
    }


def add_tables(shape: ConversationDict, tables: Tables) -> None:
    """Give the JSON values of a conversation the tools and fragments that they refer to."""
    if tables.tools:
        shape["tools"] = tables.tools
    if tables.fragments:
        shape["fragments"] = tables.fragments


def from_messages(
    messages: Iterable[MessageDict], model_id: str | None, *, name: str | None = None
) -> ConversationDict:
    """A conversation of messages alone, given as dictionaries: an answer ends a turn.

    Args:
        model_id: The model that is said to have answered.
        name: The title; the beginning of the first prompt where missing.
    """
    nodes = cast("list[MessageNodeDict]", list(messages))
    asked = next((node["parts"] for node in nodes if node["role"] == "user"), ())
    first_text = "".join([str(part.get("text", "")) for part in asked])
    name = name or conversation_name(first_text)
    shape = serialize_conversation(new_ulid(), name, model_id, [], Tables(), None)
    shape["messages"] = nodes
    shape["tip"] = len(nodes) - 1 if nodes else None
    if model_id is not None:
        shape["turns"] = turns_of(shape, model_id)
    return shape


def turns_of(shape: ConversationDict, model_id: str) -> list[TurnDict]:
    """The turns that the messages up to the tip look like: each run of answers ends one."""
    from datetime import datetime, timezone

    now = datetime.now(timezone.utc).isoformat()
    numbers = path_to(shape["tip"], parents_of(shape))
    roles = [shape["messages"][number]["role"] for number in numbers]
    turns: list[TurnDict] = []
    given: int | None = None
    for number, role, following in zip(numbers, roles, [*roles[1:], None], strict=False):
        if role != "assistant":
            given = number
        elif following != "assistant":
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


# Whether plain JSON values are a conversation, before anything is made of them.


def check_conversation(shape: object) -> ConversationDict:
    """`shape` itself.

    Raises:
        InvalidInput: It is no conversation, or one of a later version of the format.
    """
    if not isinstance(shape, dict) or shape.get("format") not in (FORMAT, CHAIN_FORMAT):
        raise InvalidInput(f'Not a conversation: there is no "format": "{FORMAT}" in it')
    if shape.get("version") != VERSION:
        raise InvalidInput(
            f"Cannot read a conversation of version {shape.get('version')!r}: this release of llm"
            f" knows version {VERSION}. Install a newer one"
        )
    from pydantic import ValidationError

    try:
        _validator().validate_python(shape, strict=True)
    except ValidationError as error:
        raise InvalidInput(f"Not a valid conversation: {_first_error(error.errors())}") from error
    conversation = cast("ConversationDict", shape)
    if not all([conversation["id"], *(turn["id"] for turn in conversation["turns"])]):
        raise InvalidInput("Not a valid conversation: an id is empty")
    parents_of(conversation)
    _check_references(conversation)
    return conversation


@cache
def _validator() -> TypeAdapter[ConversationDict]:
    """What checks the types; made once, which takes as long as checking many conversations."""
    from pydantic import TypeAdapter

    from ..serialization import ConversationDict

    return TypeAdapter(ConversationDict)


def _first_error(errors: Sequence[ErrorDetails]) -> str:
    """The place and text of the first error.

    A part is tried as each of the kinds there are: what counts is the kind that it says it is.
    """
    others = {
        error["loc"][:-1]
        for error in errors
        if error["type"] == "literal_error" and error["loc"][-1] == "type"
    }
    own = [error for error in errors if error["loc"][:-1] not in others]
    error = (own or errors)[0]
    place = ".".join(str(step) for step in error["loc"] if not str(step).endswith("PartDict"))
    if own:
        return f"{place}: {error['msg']}"
    return f"{place}: {error['input']!r} is no kind of part"


def _check_references(shape: ConversationDict) -> None:
    tools = [*shape.get("offered_tools", ())]
    fragments: list[int] = []
    ends = [shape["tip"]]
    for turn in shape["turns"]:
        ends += [turn["input"], turn["output"]]
        tools += turn.get("tools", ())
        fragments += [*turn.get("fragments", ()), *turn.get("system_fragments", ())]
    for node in shape["messages"]:
        fragments += node.get("fragments", ())
    for what, numbers, count in (
        ("Tool", tools, len(shape.get("tools", ()))),
        ("Fragment", fragments, len(shape.get("fragments", ()))),
        ("Message", [end for end in ends if end is not None], len(shape["messages"])),
    ):
        for number in numbers:
            if not 0 <= number < count:
                raise InvalidInput(f"{what} {number} is not in the conversation, which has {count}")


# From JSON values to a conversation.


def conversation_from_dict(
    make: Callable[[Any], C],
    response_class: type[R],
    shape: ConversationDict,
    model: _BaseModel | None,
    tools: Iterable[ToolDef] | None,
) -> C:
    """The conversation that its JSON values describe, with the model of that name if none is given.

    Args:
        make: Makes an empty conversation with a model.
        tools: Functions and toolboxes to take in place of tools of the same names.

    Raises:
        InvalidInput: They describe no conversation.
        UnknownModelError: No model of that name is installed.
    """
    shape = check_conversation(shape)
    own_model = model or installed_model(shape["model"], response_class.is_async)
    tables = Tables.from_dict(shape)
    boxes = _Toolboxes(own_model, tools)
    known = [boxes.tool(entry) for entry in tables.tools]
    conversation = make(own_model)
    conversation.id, conversation.name = shape["id"], shape["name"]
    conversation.chain_limit = shape.get("chain_limit")
    conversation.loaded_tools = shape.get("loaded_tools")
    if "offered_tools" in shape:
        conversation.tools = [known[number] for number in shape["offered_tools"]]

    conversation.responses = [
        restore_response(
            turn,
            tables,
            _model_of(turn, own_model),
            response_class,
            conversation=conversation,
            tools=known,
            find_instance=boxes.instance,
        )
        for turn in shape["turns"]
    ]
    end = shape["turns"][-1]["output"] if shape["turns"] else None
    if shape["tip"] is not None and shape["tip"] != end:
        conversation.loaded_messages = tables.upto(shape["tip"])
    return conversation


def _model_of(turn: TurnDict, model: _BaseModel) -> _BaseModel:
    """The model of a turn, if it is installed; else that of the conversation."""
    if turn["model"] == model.model_id:
        return model
    with suppress(UnknownModelError):
        model = installed_model(turn["model"], model.is_async)
    return model


class _Toolboxes:
    """Makes tools again: those that are given, those of plugins, and toolboxes, each of them once.

    Those that are given win over others of their names.
    """

    def __init__(self, model: _BaseModel, given: Iterable[ToolDef] | None) -> None:
        sources = list(given or ())
        self._given = {tool.name: tool for tool in wrap_tools(sources)}
        self._model = model
        self._boxes = {type(box).__name__: box for box in sources if isinstance(box, Toolbox)}
        self._made: dict[str, Toolbox | ServerSideTool | None] = {}

    def tool(self, shape: ToolDict) -> AnyTool:
        """The tool; without a function to call where nobody has it any more."""
        name = shape["name"]
        found: object = self._given.get(name)
        if found is None and "instance" in shape:
            owner = self.instance(shape["instance"])
            of_box = owner.tools() if isinstance(owner, Toolbox) else ()
            found = next((tool for tool in of_box if tool.name == name), owner)
        elif found is None and "plugin" in shape:
            found = _registered_tools().get(name)
        if isinstance(found, (Tool, ServerSideTool)):
            return found
        tool = Tool(name, shape["description"], shape["input_schema"], None, shape.get("plugin"))
        if "instance" in shape:
            vars(tool)[INSTANCE] = shape["instance"]
        return tool

    def instance(self, shape: InstanceDict) -> Toolbox | ServerSideTool | None:
        """The toolbox or provider tool, made with the same arguments; `None` if that fails."""
        if shape["name"] in self._boxes:
            return self._boxes[shape["name"]]
        key = f"{shape['name']}({shape['arguments']!r})"
        if key not in self._made:
            self._made[key] = self._make(shape)
        return self._made[key]

    def _make(self, shape: InstanceDict) -> Toolbox | ServerSideTool | None:
        registered = [kind for kind in _registered_tools().values() if isinstance(kind, type)]
        served = self._model.supported_server_side_tools
        kinds: list[type[Any]] = [ServerSideTool, *served, *registered]
        classes = {kind.__name__: kind for kind in kinds}
        try:
            made: Toolbox | ServerSideTool = classes[shape["name"]](**shape["arguments"])
        except Exception:  # a plugin's class, which may have changed since
            return None
        return made


def _registered_tools() -> Mapping[str, object]:
    import llm

    return llm.get_tools()


# A response alone.


def response_dict(response: _BaseResponse) -> ResponseDict:
    """Request, answer, usage and time of a response; keys only where there is a value."""
    request = response.prompt
    prompt: PromptDict = {"messages": [message.to_dict() for message in request.full_messages]}
    if options := option_values(request):
        prompt["options"] = options
    if request.own_system:
        prompt["system"] = request.own_system
    shape: ResponseDict = {
        "model": response.model.model_id,
        "prompt": prompt,
        "messages": [message.to_dict() for message in response.output_messages()],
        "id": response.id,
    }
    if usage := known_usage(response):
        shape["usage"] = usage
    if started := response.started_utc():
        shape["datetime_utc"] = started
    return shape


def response_from(make: type[R], shape: ResponseDict, model: _BaseModel | None) -> R:
    """The finished response that JSON values describe; its model is found by name if none is given.

    Raises:
        UnknownModelError: No model of that name is installed.
    """
    model = model or installed_model(shape["model"], make.is_async)
    sent = shape["prompt"]
    options = sent.get("options")
    prompt = Prompt(
        None,
        model,
        system=sent.get("system"),
        messages=[Message.from_dict(message) for message in sent["messages"]],
        options=model.Options(**options) if options else None,
    )
    response = make.restored(
        prompt,
        model,
        id=shape.get("id"),
        messages=[Message.from_dict(message) for message in shape["messages"]],
        started=moment_of(shape.get("datetime_utc")),
    )
    response.set_usage(**shape.get("usage", {}))
    return response
