"""Tools that OpenAI runs itself, for models of the Responses API."""

import json
from typing import Literal, TypeVar

import llm
from llm.parts import StreamEvent

from .shapes import Json, add_include, not_nulls, plain

V = TypeVar("V")
MOST_DOMAINS = 100
_MEMORY_LIMITS = ("16g", "1g", "4g", "64g")


def _checked(name: str, value: V, kind: type, words: str) -> V:
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} must be {words}")
    return value


def _checked_choice(name: str, value: V, choices: tuple[str, ...]) -> V:
    if _checked(name, value, str, "a text") is not None and value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}")
    return value


def _checked_list(name: str, value: V) -> V:
    if value is None:
        return value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{name} must be a list of texts")
    if not all(value):
        raise ValueError(f"{name} must not contain an empty text")
    return value


def _checked_flag(name: str, value: V) -> V:
    return _checked(name, value, bool, "true or false")


def _checked_domains(name: str, domains: list[str] | None) -> list[str] | None:
    for domain in _checked_list(name, domains) or ():
        if domain.startswith(("http://", "https://")):
            raise ValueError(f"{name} takes domains without http:// or https://: {domain}")
    if len(domains or ()) > MOST_DOMAINS:
        raise ValueError(f"{name} takes at most {MOST_DOMAINS} domains")
    return domains


def _checked_images(settings: Json | None) -> Json | None:
    if settings is None:
        return None
    _checked("image_settings", settings, dict, "an object")
    most = settings.get("max_results")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
        raise TypeError("image_settings.max_results must be a number")
    if most is not None and most < 1:
        raise ValueError("image_settings.max_results must be positive")
    _checked_flag("image_settings.caption", settings.get("caption"))
    return settings


def _located(location: Json | None) -> Json | None:
    if location is None:
        return None
    _checked("user_location", location, dict, "an object")
    if location.get("type", "approximate") != "approximate":
        raise ValueError("user_location.type must be approximate")
    return {"type": "approximate", **location}


class WebSearch(llm.ServerSideTool):
    """Search the web with OpenAI's own search tool.

    Domain filters, a rough location, the amount of context, live access and image search are set
    by arguments. ``include_sources`` keeps every URL that was consulted, ``include_results`` the
    raw results.
    """

    name = "web_search"

    def __init__(
        self,
        allowed_domains: list[str] | None = None,
        blocked_domains: list[str] | None = None,
        user_location: Json | None = None,
        search_context_size: Literal["low", "medium", "high"] | None = None,
        external_web_access: bool | None = None,
        return_token_budget: Literal["default", "unlimited"] | None = None,
        search_content_types: list[Literal["text", "image"]] | None = None,
        image_settings: Json | None = None,
        include_sources: bool = False,
        include_results: bool = False,
    ) -> None:
        super().__init__()
        self.allowed_domains: list[str] | None = _checked_domains(
            "allowed_domains", allowed_domains
        )
        self.blocked_domains: list[str] | None = _checked_domains(
            "blocked_domains", blocked_domains
        )
        self.search_context_size: str | None = _checked_choice(
            "search_context_size", search_context_size, ("high", "low", "medium")
        )
        self.return_token_budget: str | None = _checked_choice(
            "return_token_budget", return_token_budget, ("default", "unlimited")
        )
        self.search_content_types: list[Literal["text", "image"]] | None = _checked_list(
            "search_content_types", search_content_types
        )
        for content_type in search_content_types or ():
            _checked_choice("search_content_types", content_type, ("image", "text"))
        self.image_settings: Json | None = _checked_images(image_settings)
        self.external_web_access: bool | None = _checked_flag(
            "external_web_access", external_web_access
        )
        self.include_sources: bool = _checked_flag("include_sources", include_sources)
        self.include_results: bool = _checked_flag("include_results", include_results)
        self.user_location: Json | None = _located(user_location)

    def tool_spec(self, model: object) -> Json:
        """The tool as the API takes it."""
        filters = self._given("allowed_domains", "blocked_domains")
        return {
            "type": "web_search",
            **({"filters": filters} if filters else {}),
            **self._given("user_location", "search_context_size", "external_web_access"),
            **self._given("return_token_budget", "search_content_types", "image_settings"),
        }

    def _given(self, *names: str) -> Json:
        return not_nulls((name, getattr(self, name)) for name in names)

    def prepare_request(self, model: object, kwargs: Json) -> None:
        """Ask for sources and results where they are wanted."""
        if self.include_sources:
            add_include(kwargs, "web_search_call.action.sources")
        if self.include_results:
            add_include(kwargs, "web_search_call.results")


class CodeInterpreter(llm.ServerSideTool):
    """Run Python in a container at OpenAI.

    Without ``container`` OpenAI makes or reuses one, which ``memory_limit`` and ``file_ids``
    describe. ``container`` is the id (``cntr_...``) of one that exists.
    """

    name = "code_interpreter"

    def __init__(
        self,
        container: str | None = None,
        memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None,
        file_ids: list[str] | None = None,
    ) -> None:
        super().__init__()
        if _checked("container", container, str, "a text") == "":
            raise ValueError("container must not be empty")
        if container is not None and (memory_limit is not None or file_ids is not None):
            raise ValueError("container cannot be combined with memory_limit or file_ids")
        self.container = container
        self.memory_limit: str | None = _checked_choice(
            "memory_limit", memory_limit, _MEMORY_LIMITS
        )
        self.file_ids: list[str] | None = _checked_list("file_ids", file_ids)

    def tool_spec(self, model: object) -> Json:
        """The tool as the API takes it."""
        if self.container is not None:
            return {"type": "code_interpreter", "container": self.container}
        given = not_nulls((("memory_limit", self.memory_limit), ("file_ids", self.file_ids)))
        return {"type": "code_interpreter", "container": {"type": "auto", **given}}

    def prepare_request(self, model: object, kwargs: Json) -> None:
        """Ask for the output of the code."""
        add_include(kwargs, "code_interpreter_call.outputs")


def _output_text(given: object) -> str | None:
    output = plain(given)
    return output.get("logs") or output.get("url")


def server_tool_events(given: object, message_index: int) -> list[StreamEvent]:
    """The call and the result of a tool that the provider ran; nothing for other items.

    Args:
        given: The item: a dict, or an object of the `openai` library.
    """
    item = plain(given)
    kind = item.get("type")
    if kind == "web_search_call":
        name, arguments = "web_search", item.get("action") or {}
        results = item.get("results")
        result = json.dumps(results, default=plain) if results else ""
    elif kind == "code_interpreter_call":
        name, arguments = "code_interpreter", {"code": item.get("code") or ""}
        result = "\n".join(filter(None, map(_output_text, item.get("outputs") or ())))
    else:
        return []
    result = result or str(item.get("status") or "completed")
    fields: Json = {
        "tool_call_id": item.get("id"),
        "server_executed": True,
        "message_index": message_index,
    }
    return [
        StreamEvent("tool_call_name", name, **fields),
        StreamEvent("tool_call_args", json.dumps(arguments, default=plain), **fields),
        StreamEvent("tool_result", result, tool_name=name, **fields),
    ]
