"""Whether plain JSON values are a conversation, before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from ..errors import InvalidInput
from .portable import CHAIN_FORMAT, FORMAT, VERSION, parents_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

    from ..serialization import ConversationDict


def checked(shape: Any) -> ConversationDict:
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
    _check_types(shape)
    conversation = cast("ConversationDict", shape)
    if not all([conversation["id"], *(turn["id"] for turn in conversation["turns"])]):
        raise InvalidInput("Not a valid conversation: an id is empty")
    parents_of(conversation)
    for what, number, count in _references(conversation):
        if not 0 <= number < count:
            raise InvalidInput(f"{what} {number} is not in the conversation, which has {count}")
    return conversation


@cache
def _validator() -> TypeAdapter[ConversationDict]:
    """What checks the types; made once, which takes as long as checking many conversations."""
    from pydantic import TypeAdapter

    from ..serialization import ConversationDict

    return TypeAdapter(ConversationDict)


def _check_types(shape: Any) -> None:
    from pydantic import ValidationError

    try:
        _validator().validate_python(shape, strict=True)
    except ValidationError as error:
        raise InvalidInput(f"Not a valid conversation: {_explained(error.errors())}") from error


def _explained(errors: Sequence[ErrorDetails]) -> str:
    """The place and text of the first error.

    A part is tried as each of the kinds there are: what counts is the kind that it says it is.
    """
    others = {error["loc"][:-1] for error in errors if _is_other_kind(error)}
    own = [error for error in errors if error["loc"][:-1] not in others]
    error = (own or errors)[0]
    place = ".".join(str(step) for step in error["loc"] if not str(step).endswith("PartDict"))
    if own:
        return f"{place}: {error['msg']}"
    return f"{place}: {error['input']!r} is no kind of part"


def _is_other_kind(error: ErrorDetails) -> bool:
    return error["type"] == "literal_error" and error["loc"][-1] == "type"


def _references(shape: ConversationDict) -> Iterator[tuple[str, int, int]]:
    """What is referred to by number: what it is, the number, and how many there are."""
    messages, tools = len(shape["messages"]), len(shape.get("tools", ()))
    fragments = len(shape.get("fragments", ()))
    ends = [shape["tip"]]
    for turn in shape["turns"]:
        ends += [turn["input"], turn["output"]]
        for number in turn.get("tools", ()):
            yield "Tool", number, tools
        for number in [*turn.get("fragments", ()), *turn.get("system_fragments", ())]:
            yield "Fragment", number, fragments
    for number in shape.get("offered_tools", ()):
        yield "Tool", number, tools
    for node in shape["messages"]:
        for number in node.get("fragments", ()):
            yield "Fragment", number, fragments
    for end in ends:
        if end is not None:
            yield "Message", end, messages
