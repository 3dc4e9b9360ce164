"""A finished response as plain JSON values, and back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypeVar, cast

from ..parts import Message
from .options import option_values
from .prompt import Prompt

if TYPE_CHECKING:
    from ..serialization import PromptDict, ResponseDict, UsageDict
    from .base import _BaseModel
    from .response_base import _BaseResponse

R = TypeVar("R", bound="_BaseResponse")


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
    usage = {k: v for k, v in vars(response.usage_so_far()).items() if v is not None}
    if usage:
        shape["usage"] = cast("UsageDict", usage)
    if started := response.started_utc():
        shape["datetime_utc"] = started
    return shape


def response_from(make: type[R], shape: ResponseDict, model: _BaseModel | None) -> R:
    """The finished response that JSON values describe; its model is found by name if none is given.

    Raises:
        UnknownModelError: No model of that name is installed.
    """
    if model is None:
        import llm

        look_up = llm.get_async_model if make.is_async else llm.get_model
        model = look_up(shape["model"])
    sent = shape["prompt"]
    options = sent.get("options")
    prompt = Prompt(
        None,
        model,
        system=sent.get("system"),
        messages=[Message.from_dict(message) for message in sent["messages"]],
        options=model.Options(**options) if options else None,
    )
    started = shape.get("datetime_utc")
    response = make.restored(
        prompt,
        model,
        id=shape.get("id"),
        messages=[Message.from_dict(message) for message in shape["messages"]],
        # Python 3.10 does not know the Z that others write for UTC.
        started=datetime.fromisoformat(started.replace("Z", "+00:00")) if started else None,
    )
    usage = shape.get("usage", {})
    response.set_usage(
        input=usage.get("input"), output=usage.get("output"), details=usage.get("details")
    )
    return response
