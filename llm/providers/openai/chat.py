"""Models of Chat Completions, of the older Completions API, and of the Responses API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, cast

import llm

from .addresses import DEFAULT_BASE
from .shared import FlaggedOptions, _Shared, flags_of, image_detail

if TYPE_CHECKING:
    from llm import AsyncConversation, AsyncResponse, Conversation, Prompt, Response
    from llm.parts import StreamEvent

    from .shared import AnyConversation, AnyResponse
    from .wire.chat_answers import ChatAccumulator
    from .wire.responses_answers import Item, ResponsesAccumulator
    from .wire.shapes import Json
else:
    llm.for_hints(
        globals(),
        {
            "llm": "AsyncConversation AsyncResponse Conversation Prompt Response",
            "llm.parts": "StreamEvent",
            "llm.providers.openai.wire.chat_answers": "ChatAccumulator",
            "llm.providers.openai.wire.responses_answers": "Item ResponsesAccumulator",
            "llm.providers.openai.wire.shapes": "Json",
            "llm.providers.openai.shared": "AnyConversation AnyResponse",
        },
    )


class _Driver(_Shared, llm.KeyModel):
    def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: Response,
        conversation: Conversation | None = None,
        key: str | None = None,
    ) -> Iterator[str | StreamEvent]:
        """Answer `prompt`: yield text, reasoning and tool calls as they come."""
        forms, answer, send, _, settle = self.prepare(prompt, stream, response, conversation, key)
        for form in forms:
            with forms.sending():
                for value in send(form):
                    forms.is_last = True
                    yield from answer.feed(value)
        yield from settle()


class _AsyncDriver(_Shared, llm.AsyncKeyModel):
    async def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: AsyncResponse,
        conversation: AsyncConversation | None = None,
        key: str | None = None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer `prompt`: yield text, reasoning and tool calls as they come."""
        forms, answer, _, send, settle = self.prepare(prompt, stream, response, conversation, key)
        for form in forms:
            with forms.sending():
                async for value in send(form):
                    forms.is_last = True
                    for event in answer.feed(value):
                        yield event
        for event in settle():
            yield event


class Chat(_Driver):
    """A model of the Chat Completions API, at OpenAI or any compatible server."""


class AsyncChat(_AsyncDriver):
    """The asynchronous twin of `Chat`."""


class Completion(Chat):
    """A model of the older Completions API: it goes on with a text.

    Args:
        default_max_tokens: Sent where the option `max_tokens` is not given.
        settings: As for `Chat`.
    """

    Options: ClassVar[Any] = FlaggedOptions(completes=True)
    continues_as_text = True
    _path = "completions"

    def __init__(self, *args: Any, default_max_tokens: int | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.default_max_tokens = default_max_tokens

    def __str__(self) -> str:
        return f"OpenAI Completion: {self.model_id}"

    def _request(
        self,
        prompt: Prompt,
        stream: bool,
        response: AnyResponse,
        conversation: AnyConversation | None = None,
    ) -> Json:
        messages = prompt.messages
        if prompt.system or any(message.role == "system" for message in messages):
            raise NotImplementedError(
                "System prompts are not supported for OpenAI completion models"
            )
        texts = (message.text() for message in messages if message.role in ("user", "assistant"))
        text = "\n".join(filter(None, texts))
        response.set_prompt_json({"messages": [text]})
        fields = self.build_kwargs(prompt, stream)
        return {"model": self._name(), "prompt": text, "stream": stream, **fields}

    def _accumulator(self, prompt: Prompt, stream: bool) -> ChatAccumulator:
        from .wire.chat_answers import CompletionAccumulator

        return CompletionAccumulator(stream, self._failure)


class _SharedResponses(_Shared):
    """What both kinds of Responses models share: the request, and the settings behind it.

    Args:
        settings: As for `Chat`.
        reasoning_summary: Ask reasoning models for a summary where no option says how.
    """

    # Referred to by name in stored rows: entries are added, never changed.
    json_replacements: ClassVar[llm.JSONObject] = {
        "tool_usage_0": {
            "image_gen": {
                "input_tokens": 0,
                "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
                "output_tokens": 0,
                "output_tokens_details": {"image_tokens": 0, "text_tokens": 0},
                "total_tokens": 0,
            },
            "web_search": {"num_requests": 0},
        },
        "input_tokens_details_0": {"cached_tokens": 0, "cache_write_tokens": 0},
        "reasoning_settings_0": {
            "effort": "medium",
            "summary": "detailed",
            "context": "all_turns",
            "mode": "standard",
        },
        "reasoning_settings_1": {
            "effort": "medium",
            "summary": "detailed",
            "context": "current_turn",
            "mode": "standard",
        },
        "text_format_0": {"format": {"type": "text"}, "verbosity": "medium"},
        "response_env_0": {
            "object": "response",
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "top_p": 1.0,
            "background": False,
            "service_tier": "default",
            "status": "completed",
            "top_logprobs": 0,
            "truncation": "disabled",
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
            "store": False,
            "tools": [],
        },
        "message_completed": {
            "role": "assistant",
            "status": "completed",
            "type": "message",
            "phase": "final_answer",
        },
    }

    Options: ClassVar[Any] = FlaggedOptions("reasoning_summary", "chat_completions")
    _path = "responses"

    def __init__(self, *args: Any, reasoning_summary: bool = True, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._reasoning_summary = reasoning_summary

    def __str__(self) -> str:
        return f"OpenAI Responses: {self.model_id}"

    @property
    def supported_server_side_tools(self) -> tuple[type[llm.ServerSideTool], ...]:
        """Web search, the code interpreter, and any tool given by its raw specification."""
        from .wire.server_tools import CodeInterpreter, WebSearch

        return (WebSearch, CodeInterpreter, llm.ServerSideTool)

    # What subclasses override.

    def _build_responses_input(
        self, prompt: Prompt, image_detail: str | None = None
    ) -> tuple[list[Json], str | None]:
        """The `input` items of a request and its `instructions`."""
        from .wire.responses_requests import responses_input

        return responses_input(prompt.messages, image_detail)

    def _build_responses_kwargs(self, prompt: Prompt, stream: bool) -> Json:
        """The fields of a request that come from options, schema and tools."""
        from .wire.responses_requests import request_options
        from .wire.shapes import function_fields, not_nulls, plain_value

        options = llm.option_values(prompt)
        fields = request_options(options, schema=prompt.schema)
        if self._reasoning:
            default = "auto" if self._reasoning_summary else None
            summary = plain_value(options.get("reasoning_summary", default))
            effort = plain_value(options.get("reasoning_effort"))
            is_shown = not prompt.hide_reasoning
            reasoning = not_nulls((("summary", summary if is_shown else None), ("effort", effort)))
            if reasoning:
                fields["reasoning"] = reasoning
        if prompt.tools:
            fields["tools"] = [
                tool.tool_spec(cast("llm.KeyModel", self))
                if isinstance(tool, llm.ServerSideTool)
                else {"type": "function", **function_fields(tool)}
                for tool in prompt.tools
            ]
        return fields

    def _server_tool_events(self, item: Item, message_index: int) -> list[StreamEvent]:
        """The call and the result of a tool that the provider ran; nothing for other items."""
        from .wire.server_tools import server_tool_events

        return server_tool_events(item, message_index)

    def _refresh_server_tool_events(
        self, output: list[Item], done_events: dict[str, list[StreamEvent]]
    ) -> None:
        """Put the final values of items into the events that were given for each, by its id."""
        from .wire.shapes import plain

        for item in output:
            if given := done_events.get(str(plain(item).get("id"))):
                final = self._server_tool_events(item, given[0].message_index)
                chunks = {event.type: event.chunk for event in final}
                for event in given:
                    event.chunk = chunks.get(event.type, event.chunk)

    def _delegate_chat_kwargs(self) -> Json:
        """The constructor arguments of the `Chat` that stands in for `-o chat_completions 1`."""
        names = (
            *("model_id", "key", "model_name", "api_base", "api_type", "api_version"),
            *("api_engine", "headers", "can_stream", "vision", "supports_schema"),
            *("supports_tools", "allows_system_prompt"),
        )
        return {**{name: getattr(self, name) for name in names}, **flags_of(self)}

    # Requests.

    def _finalize_responses_kwargs(
        self, prompt: Prompt, stream: bool, instructions: str | None = None
    ) -> Json:
        """All fields of a request beside model, input and stream."""
        from .wire.shapes import add_include

        kwargs = self._build_responses_kwargs(prompt, stream)
        if instructions:
            kwargs["instructions"] = instructions
        kwargs.setdefault("store", False)
        if self._reasoning:
            options = llm.option_values(prompt)
            asked = options.get("reasoning_summary") or options.get("reasoning_effort")
            if self._reasoning_summary or asked:
                add_include(kwargs, "reasoning.encrypted_content")
        for tool in prompt.tools:
            if isinstance(tool, llm.ServerSideTool):
                tool.prepare_request(cast("llm.KeyModel", self), kwargs)
        return kwargs

    def _stand_in(self, prompt: Prompt) -> Chat | None:
        """The `Chat` that answers where the older API is asked for.

        Raises:
            ValueError: So is a tool that only this API has.
        """
        if not llm.option_values(prompt).get("chat_completions"):
            return None
        for tool in prompt.tools:
            if isinstance(tool, llm.ServerSideTool):
                raise ValueError(
                    f"The tool '{tool.name}' needs the Responses API:"
                    " leave out the option chat_completions"
                )
        chat = Chat(**self._delegate_chat_kwargs())
        vars(chat).update(needs_key=self.needs_key, key_env_var=self.key_env_var)
        if self._uses_own_client():
            vars(chat)["get_client"] = self.get_client
        return chat

    def _request(
        self,
        prompt: Prompt,
        stream: bool,
        response: AnyResponse,
        conversation: AnyConversation | None = None,
    ) -> Json:
        from .wire.responses_requests import taken_out
        from .wire.shapes import redacted_messages

        items, instructions = self._build_responses_input(prompt, **image_detail(prompt))
        if instructions and not self.allows_system_prompt:
            raise NotImplementedError("Model does not support system prompts")
        kept: Json = {"input": redacted_messages(items)}
        if instructions:
            kept["instructions"] = instructions
        response.set_prompt_json(kept)
        fields = self._finalize_responses_kwargs(prompt, stream, instructions)
        is_compatible = not self._url(self._path).startswith(DEFAULT_BASE)
        if ignored := ", ".join(taken_out(fields, seed_is_known=is_compatible)):
            self._tell(f"Not sent, as the Responses API has no such option: {ignored}")
        return {"model": self._name(), "input": items, "stream": stream, **fields}

    def _accumulator(self, prompt: Prompt, stream: bool) -> ResponsesAccumulator:
        from .wire.responses_answers import ResponsesAccumulator

        return ResponsesAccumulator(
            self._server_tool_events,
            self._refresh_server_tool_events,
            self._failure,
            unwraps=prompt.schema is not None,
        )

    def _record_usage(self, response: AnyResponse, usage: Json) -> None:
        from .wire.responses_requests import usage_fields

        response.set_usage(**usage_fields(usage))


class Responses(_SharedResponses, _Driver):
    """A model of the Responses API."""


class AsyncResponses(_SharedResponses, _AsyncDriver):
    """The asynchronous twin of `Responses`."""
