"""What a response tells a person about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..text import truncate_string

if TYPE_CHECKING:
    from .response_base import _BaseResponse


def described(response: _BaseResponse, unfinished: str) -> str:
    """What `repr` gives: the prompt and the text that has come, long ones cut in their middle."""
    prompt, text = (
        truncate_string(text, keep_end=True)
        for text in (response.prompt.prompt, response.text_so_far)
    )
    text += "" if response.has_ended else unfinished
    return f"<{type(response).__name__} prompt={prompt!r} text={text!r}>"
