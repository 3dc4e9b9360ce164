"""Models that stand in where one fails before its first token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..files import config
from ..terminal.output import OutputClosed, show_note
from ..text import JSONObject
from .session import set_policy

if TYPE_CHECKING:
    from ..models.base import _BaseModel
    from .request import AnyModel
    from .session import Session


def answer(session: Session, respond: Callable[[Session, list[Any]], None]) -> None:
    """Have a prompt answered; where a model fails before its first token, by the next one.

    Args:
        session: The conversation, its model and the models that stand in.
        respond: Runs one attempt; it adds the response to the list as soon as it has one.

    Raises:
        Exception: Whatever the last model raised.
    """
    for following in session.fallbacks:
        made: list[Any] = []
        try:
            respond(session, made)
            return
        except OutputClosed:
            raise
        except Exception as error:  # whatever a model plugin raises
            if any(map(_has_begun, made)):
                raise
            show_note(f"{session.model.model_id} failed: {error}")
            show_note(f"Trying {following.model_id}")
        with _standing_in(session, following) as stand_in:
            answer(stand_in, respond)
        return
    respond(session, [])


def _has_begun(response: Any) -> bool:
    """Whether anything of a response, or of the responses of a chain, has come."""
    responses = getattr(response, "_responses", None)
    if responses is not None:
        return any(map(_has_begun, responses))
    is_complete = response.has_ended and not response.broke_off
    return is_complete or any(event.chunk for event in response.event_log)


@contextmanager
def _standing_in(session: Session, model: AnyModel) -> Iterator[Session]:
    """The session with another model, which the conversation has as long as the block runs."""
    conversation: Any = session.conversation
    former = conversation.model
    policy, cut = conversation.policy, (conversation.truncate, conversation.token_budget)
    options = options_for(model, session)
    conversation.model, conversation.token_budget = model, None
    set_policy(conversation, session.request)
    try:
        yield replace(session, options=options, fallbacks=session.fallbacks[1:])
    finally:
        conversation.model, conversation.policy = former, policy
        conversation.truncate, conversation.token_budget = cut


def options_for(model: _BaseModel, session: Session) -> JSONObject:
    """The options of a session that another model takes; of each of the others a line tells."""
    given = dict(session.request.options)
    stored = config.get_model_options(session.model.model_id)
    asked = {k: v for k, v in session.options.items() if k in given or k not in stored}
    own = config.get_model_options(model.model_id)
    taken: JSONObject = {}
    for name, value in {**own, **asked}.items():
        try:
            found = getattr(model.Options(**{name: value}), name)
        except (ValueError, AttributeError):
            show_note(f"{model.model_id} does not take the option {name}: dropped")
            continue
        if found is not None:
            taken[name] = found
    return taken
