"""Models of the Chat Completions API, and of the older Completions API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import llm

from .shared import FlaggedOptions, _Shared, flags_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from pydantic import BaseModel

    from llm import AsyncConversation, AsyncResponse, Conversation, Prompt, Response
    from llm.parts import StreamEvent

    from .wire.shapes import Json

PATH = "chat/completions"


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

    needs_key = "openai"
    key_env_var = "OPENAI_API_KEY"

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
        for value in self._answers(PATH, request, key, response.policy):
            yield from answer.feed(value)
        yield from self._settle(answer, response, PATH)


class AsyncChat(_ChatRequest, llm.AsyncKeyModel):
    """The asynchronous twin of `Chat`."""

    needs_key = "openai"
    key_env_var = "OPENAI_API_KEY"

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
        async for value in self._answers_async(PATH, request, key, response.policy):
            for event in answer.feed(value):
                yield event
        for event in self._settle(answer, response, PATH):
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
