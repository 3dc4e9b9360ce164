"""Requests in a plainer form, for compatible servers that refuse the documented one.

llama.cpp's server wants the type of each of the assistant's messages and a text in each reasoning
item, and takes no null as the description of a tool. What it wants does no harm elsewhere, but the
documented form goes first: it is what OpenAI and subclasses know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from llm.errors import ModelError, Overloaded

from .shapes import Json

OPENAI = "https://api.openai.com/"

# Addresses that refused the documented form and took the plainer one; kept for the process.
_wants_plainer: set[str] = set()


class Forms:
    """The forms that one request may be sent in, one after the other.

    Args:
        url: Where it goes.
        request: The documented form.

    Attributes:
        request: The form to send now.
        is_last: No other form is sent if the server refuses that one.
    """

    def __init__(self, url: str, request: Json) -> None:
        self._url = url
        wants_plainer = url in _wants_plainer
        self.request = plainer(request) if wants_plainer else request
        self.is_last = wants_plainer or url.startswith(OPENAI)

    def refused(self, error: ModelError) -> None:
        """Go on with the plainer form.

        Raises:
            ModelError: `error`, where the form of the request is not what is wrong.
        """
        if self.is_last or not _is_about_the_form(error):
            raise error
        plain = plainer(self.request)
        if plain == self.request:
            raise error
        self.request, self.is_last = plain, True
        _wants_plainer.add(self._url)


def answers(forms: Forms, send: Callable[[Json], Iterator[Json]]) -> Iterator[Json]:
    """What `send` gives for the first of the forms that the server takes."""
    return send(forms.request) if forms.is_last else _until_taken(forms, send)


def _until_taken(forms: Forms, send: Callable[[Json], Iterator[Json]]) -> Iterator[Json]:
    while True:
        try:
            for value in send(forms.request):
                forms.is_last = True
                yield value
        except ModelError as error:
            forms.refused(error)
        else:
            return


def answers_async(forms: Forms, send: Callable[[Json], AsyncIterator[Json]]) -> AsyncIterator[Json]:
    """As `answers`, without blocking the event loop."""
    return send(forms.request) if forms.is_last else _until_taken_async(forms, send)


async def _until_taken_async(
    forms: Forms, send: Callable[[Json], AsyncIterator[Json]]
) -> AsyncIterator[Json]:
    while True:
        try:
            async for value in send(forms.request):
                forms.is_last = True
                yield value
        except ModelError as error:
            forms.refused(error)
        else:
            return


def _is_about_the_form(error: ModelError) -> bool:
    """Whether a server may have refused a request for its form; some call that their own fault."""
    return type(error) is ModelError or (type(error) is Overloaded and "pars" in str(error))


def plainer(request: Json) -> Json:
    """A request of either API in its plainer form; equal to `request` where it is plain."""
    changed = dict(request)
    if isinstance(request.get("input"), list):
        changed["input"] = [plain for item in request["input"] if (plain := _plain_item(item))]
    if request.get("tools"):
        changed["tools"] = [_plain_tool(tool) for tool in request["tools"]]
    return changed


def _plain_item(item: Json) -> Json | None:
    """An item of the Responses API; `None` where nothing of it can be said plainly."""
    if item.get("role") == "assistant" and "type" not in item:
        return {"type": "message", **item}
    if item.get("type") == "reasoning" and not item.get("content"):
        content = _reasoning_content(item)
        return {**item, "content": content} if content else None
    return item


def _reasoning_content(item: Json) -> list[Json]:
    """The texts of a summary of reasoning as content."""
    texts = [str(piece.get("text") or "") for piece in item.get("summary") or ()]
    return [{"type": "reasoning_text", "text": text} for text in texts if text]


def _plain_tool(tool: object) -> object:
    """A tool without a description where it has an empty one, in the shape of either API."""
    if not isinstance(tool, dict):
        return tool
    plain = {name: value for name, value in tool.items() if (name, value) != ("description", None)}
    if isinstance(plain.get("function"), dict):
        plain["function"] = _plain_tool(plain["function"])
    return plain
