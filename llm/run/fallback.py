"""A model that stands in where one fails before its first token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..files.model_options import OPTIONS
from ..terminal import show_note
from ..text import JSONObject
from .request import set_policy

if TYPE_CHECKING:
    from .request import AnyModel, Resolved


@contextmanager
def standing_in(resolved: Resolved) -> Iterator[Resolved]:
    """What was resolved, with the next model, which the conversation has while the block runs."""
    model, *others = resolved.fallbacks
    conversation = resolved.conversation
    former = conversation.model
    policy, cut = conversation.policy, (conversation.truncate, conversation.token_budget)
    options = options_for(model, resolved)
    conversation.model, conversation.token_budget = model, None
    set_policy(conversation, resolved.request.call)
    try:
        yield replace(resolved, options=options, fallbacks=tuple(others))
    finally:
        conversation.model, conversation.policy = former, policy
        conversation.truncate, conversation.token_budget = cut


def options_for(model: AnyModel, resolved: Resolved) -> JSONObject:
    """The options that were given and another model takes; of each of the others a line tells."""
    given = resolved.material.options
    stored = OPTIONS.get(resolved.model.model_id)
    asked = {k: v for k, v in resolved.options.items() if k in given or k not in stored}
    own = OPTIONS.get(model.model_id)
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
