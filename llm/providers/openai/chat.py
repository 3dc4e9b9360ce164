"""Models of Chat Completions, of the older Completions API, and of the Responses API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import llm

from .shared import DEFAULT_BASE, FlaggedOptions, _Shared, flags_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from pydantic import BaseModel

    from llm import AsyncConversation, AsyncResponse, Conversation, Prompt, Response
    from llm.parts import StreamEvent

    from .wire.responses_answers import Item, ResponsesAccumulator
    from .wire.shapes import Json

AnyChat = TypeVar("AnyChat", "Chat", "AsyncChat")


class _ChatRequest(_Shared):
    """The request of a chat model, the same for both kinds of driver."""

    def _request(
        self,
        prompt: Prompt,
        stream: bool,
        response: Response | AsyncResponse,
        conversation: Conversation | AsyncConversation | None,
    ) -> Json:
        from .wire.shapes import redacted_messages

        detail = llm.option_values(prompt).get("image_detail")
        more = {"image_detail": detail} if detail else {}
        messages = self.build_messages(prompt, conversation, **more)
        response.set_prompt_json({"messages": redacted_messages(messages)})
        streams = bool(stream and self.can_stream)
        fields = self.build_kwargs(prompt, streams)
        return {"model": self._name(), "messages": messages, "stream": streams, **fields}


class Chat(_ChatRequest, llm.KeyModel):
    """A model of the Chat Completions API, at OpenAI or any compatible server."""

    def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: Response,
        conversation: Conversation | None = None,
        key: str | None = None,
    ) -> Iterator[str | StreamEvent]:
        """Answer `prompt`: yield text, reasoning and tool calls as they come."""
        from .wire.chat_answers import ChatAccumulator

        answer = ChatAccumulator()
        request = self._request(prompt, stream, response, conversation)
        for value in self._answers("chat/completions", request, key, response.policy):
            yield from answer.feed(value)
        yield from self._settle(answer, response, "chat/completions")


class AsyncChat(_ChatRequest, llm.AsyncKeyModel):
    """The asynchronous twin of `Chat`."""

    async def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: AsyncResponse,
        conversation: AsyncConversation | None = None,
        key: str | None = None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer `prompt`: yield text, reasoning and tool calls as they come."""
        from .wire.chat_answers import ChatAccumulator

        answer = ChatAccumulator()
        request = self._request(prompt, stream, response, conversation)
        async for value in self._answers_async("chat/completions", request, key, response.policy):
            for event in answer.feed(value):
                yield event
        for event in self._settle(answer, response, "chat/completions"):
            yield event


class CompletionOptions(FlaggedOptions):
    """The `Options` of `Completion`: with `logprobs`, unless other abilities are asked for."""

    def plain(self) -> type[BaseModel]:
        """The options of the class."""
        from .options import completion_options

        return completion_options()

    def __get__(self, instance: object, owner: type | None = None) -> type[BaseModel]:
        has_abilities = any(flags_of(instance).values())
        return super().__get__(instance, owner) if has_abilities else self.plain()


class Completion(Chat):
    """A model of the older Completions API: it goes on with a text.

    Args:
        default_max_tokens: Sent where the option `max_tokens` is not given.
        settings: As for `Chat`.
    """

    Options: ClassVar[Any] = CompletionOptions()
    continues_as_text = True

    def __init__(self, *args: Any, default_max_tokens: int | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.default_max_tokens = default_max_tokens

    def __str__(self) -> str:
        return f"OpenAI Completion: {self.model_id}"

    def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: Response,
        conversation: Conversation | None = None,
        key: str | None = None,
    ) -> Iterator[str | StreamEvent]:
        """Go on with the texts of the conversation; yield text as it comes.

        Raises:
            NotImplementedError: There is a system prompt.
        """
        from .wire.chat_answers import CompletionAccumulator
        from .wire.chat_requests import completion_text

        messages = prompt.messages
        if prompt.system or any(message.role == "system" for message in messages):
            raise NotImplementedError(
                "System prompts are not supported for OpenAI completion models"
            )
        text = completion_text(messages)
        response.set_prompt_json({"messages": [text]})
        streams = bool(stream and self.can_stream)
        fields = self.build_kwargs(prompt, streams)
        request = {"model": self._name(), "prompt": text, "stream": streams, **fields}
        answer = CompletionAccumulator(streams)
        for value in self._answers("completions", request, key, response.policy):
            yield from answer.feed(value)
        yield from self._settle(answer, response, "completions")


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
        from .wire import responses_requests as wire

        options = llm.option_values(prompt)
        fields = wire.request_options(options, schema=prompt.schema)
        if self._reasoning:
            reasoning = wire.reasoning_settings(
                options, is_hidden=prompt.hide_reasoning, has_default=self._reasoning_summary
            )
            if reasoning:
                fields["reasoning"] = reasoning
        if prompt.tools:
            fields["tools"] = wire.request_tools(prompt.tools, cast("llm.KeyModel", self))
        return fields

    def _server_tool_events(self, item: Item, message_index: int) -> list[StreamEvent]:
        """The call and the result of a tool that the provider ran.

        Args:
            item: An output item, readable by key and by attribute.
            message_index: The message of the answer that it belongs to.

        Returns:
            Nothing for items of other kinds.
        """
        from .wire.server_tools import server_tool_events

        return server_tool_events(item, message_index)

    def _refresh_server_tool_events(
        self, output: list[Item], done_events: dict[str, list[StreamEvent]]
    ) -> None:
        """Put the final values into the events of server-side tools, in place.

        Args:
            output: The output items of the finished response.
            done_events: The events that were given for each item, by its id.
        """
        from .wire.responses_answers import refresh_server_tool_events

        for item in output:
            given = done_events.get(str(item.get("id")))
            if given:
                final = self._server_tool_events(item, given[0].message_index)
                refresh_server_tool_events(given, final)

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

    def _request(self, prompt: Prompt, stream: bool, response: Response | AsyncResponse) -> Json:
        from .wire.responses_requests import taken_out
        from .wire.shapes import redacted_messages

        detail = llm.option_values(prompt).get("image_detail")
        more = {"image_detail": detail} if detail else {}
        items, instructions = self._build_responses_input(prompt, **more)
        if instructions and not self.allows_system_prompt:
            raise NotImplementedError("Model does not support system prompts")
        kept: Json = {"input": redacted_messages(items)}
        if instructions:
            kept["instructions"] = instructions
        response.set_prompt_json(kept)
        streams = bool(stream and self.can_stream)
        fields = self._finalize_responses_kwargs(prompt, streams, instructions)
        is_compatible = not self._url("responses").startswith(DEFAULT_BASE)
        ignored = ", ".join(taken_out(fields, seed_is_known=is_compatible))
        if ignored:
            self._tell(f"Not sent, as the Responses API has no such option: {ignored}")
        return {"model": self._name(), "input": items, "stream": streams, **fields}

    def _accumulator(self) -> ResponsesAccumulator:
        from functools import partial

        from .transport.faults import Endpoint, told_in_stream
        from .wire.responses_answers import ResponsesAccumulator

        endpoint = Endpoint(self._url("responses"), self._name(), self.needs_key)
        return ResponsesAccumulator(
            self._server_tool_events,
            self._refresh_server_tool_events,
            partial(told_in_stream, endpoint),
        )

    def _record_usage(self, response: Response | AsyncResponse, usage: Json) -> None:
        from .wire.responses_requests import usage_parts

        read, written, details = usage_parts(usage)
        response.set_usage(input=read, output=written, details=details)

    def _wants_chat(self, prompt: Prompt) -> bool:
        """Whether the prompt asks for the older API.

        Raises:
            ValueError: It also asks for a tool that only this API has.
        """

        if not llm.option_values(prompt).get("chat_completions"):
            return False
        for tool in prompt.tools:
            if isinstance(tool, llm.ServerSideTool):
                raise ValueError(
                    f"The tool '{tool.name}' needs the Responses API:"
                    " leave out the option chat_completions"
                )
        return True

    def _stand_in(self, chat: AnyChat) -> AnyChat:
        """The `Chat` that answers in place of this model, with its key rules and its client."""
        vars(chat).update(needs_key=self.needs_key, key_env_var=self.key_env_var)
        if self._uses_own_client():
            vars(chat)["get_client"] = self.get_client
        return chat


class Responses(_SharedResponses, llm.KeyModel):
    """A model of the Responses API."""

    def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: Response,
        conversation: Conversation | None = None,
        key: str | None = None,
    ) -> Iterator[str | StreamEvent]:
        """Answer `prompt`: yield text, reasoning and tool calls as they come."""
        if self._wants_chat(prompt):
            chat = self._stand_in(Chat(**self._delegate_chat_kwargs()))
            yield from chat.execute(prompt, stream, response, conversation, key)
            return
        answer = self._accumulator()
        request = self._request(prompt, stream, response)
        for value in self._answers("responses", request, key, response.policy):
            yield from answer.feed(value)
        yield from self._settle(answer, response, "responses")


class AsyncResponses(_SharedResponses, llm.AsyncKeyModel):
    """The asynchronous twin of `Responses`."""

    async def execute(
        self,
        prompt: Prompt,
        stream: bool,
        response: AsyncResponse,
        conversation: AsyncConversation | None = None,
        key: str | None = None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer `prompt`: yield text, reasoning and tool calls as they come."""
        if self._wants_chat(prompt):
            chat = self._stand_in(AsyncChat(**self._delegate_chat_kwargs()))
            async for event in chat.execute(prompt, stream, response, conversation, key):
                yield event
            return
        answer = self._accumulator()
        request = self._request(prompt, stream, response)
        async for value in self._answers_async("responses", request, key, response.policy):
            for event in answer.feed(value):
                yield event
        for event in self._settle(answer, response, "responses"):
            yield event
