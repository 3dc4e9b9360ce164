"""What all models of the API share: settings, addresses, keys, the choice of the transport."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Optional

import llm

from .addresses import address_of, base_url, with_query

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI
    from pydantic import BaseModel

    from .transport.fast import Call
    from .transport.faults import Endpoint
    from .wire.shapes import Accumulator, Event, Forms, Json

    AnyResponse = llm.Response | llm.AsyncResponse
    AnyConversation = llm.Conversation | llm.AsyncConversation
else:
    llm.for_hints(
        globals(),
        {
            "openai": "AsyncOpenAI OpenAI",
            "pydantic": "BaseModel",
            "llm.providers.openai.transport.fast": "Call",
            "llm.providers.openai.transport.faults": "Endpoint",
            "llm.providers.openai.wire.shapes": "Accumulator Event Forms Json",
        },
        AnyResponse="llm.Response | llm.AsyncResponse",
        AnyConversation="llm.Conversation | llm.AsyncConversation",
    )

LISTING_TIMEOUT_S = 30.0
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "application/pdf")
AUDIO_TYPES = ("audio/wav", "audio/mpeg")

# What the constructor is told of these decides which options there are.
_ABILITIES = ("reasoning", "verbosity", "image_detail_original", "service_tier")
# Arguments of the library's methods that are no part of the body.
_BESIDE_BODY = ("extra_headers", "extra_query", "extra_body", "timeout")


class FlaggedOptions(llm.LazyOptions):
    """The `Options` of a class whose instances have different abilities, made on first use.

    On the class it is the plain set; on an instance what its abilities ask for.

    Args:
        always: Further abilities that each instance has.
        completes: There is `logprobs` in their place where no ability is asked for.
    """

    def __init__(self, *always: str, completes: bool = False) -> None:
        self._always = dict.fromkeys(always, True)
        self._completes = completes

    def __get__(self, instance: object, owner: type | None = None) -> type[BaseModel]:
        from .options import build_options_class, completion_options

        flags = flags_of(instance)
        if self._completes and not any(flags.values()):
            return completion_options()
        return build_options_class(**flags, **(self._always if flags else {}))


def flags_of(instance: object) -> dict[str, bool]:
    """What the abilities of a model ask of its options; nothing for a class."""
    if instance is None:
        return {}
    return {name: getattr(instance, f"_{name}", False) for name in _ABILITIES}


class Prepared(NamedTuple):
    """A prompt on its way to the server, for either driver.

    Attributes:
        forms: The request.
        answer: Takes the JSON objects of the answer.
        send: Gives them for a form of the request.
        send_async: Gives them without blocking the event loop.
        settle: Registers what the answer amounts to; returns what is left of it to say.
    """

    forms: Forms
    answer: Accumulator
    send: Callable[[Json], Iterator[Json]]
    send_async: Callable[[Json], AsyncIterator[Json]]
    settle: Callable[[], Iterable[Event]]


class AtServer:
    """What every model of a server has: how its requests are addressed and signed.

    The arguments are those of `Chat`.
    """

    model_id: str
    model_name: str | None = None
    api_base: str | None = None
    api_type: str | None = None
    api_version: str | None = None
    api_engine: str | None = None
    headers: Mapping[str, str] | None = None
    needs_key: Optional[str] = "openai"
    key_env_var: Optional[str] = "OPENAI_API_KEY"
    key: Optional[str] = None
    # What to tell the user where the server refuses the key, if it is nothing usual.
    key_advice: str | None = None

    def _key_to_send(self, key: str | None) -> str:
        from .wire.shapes import DUMMY_KEY

        # The model class has it.
        found = self.get_key(key) if self.needs_key else None  # type: ignore[attr-defined]
        return (found or DUMMY_KEY).strip()

    def _is_azure(self) -> bool:
        return (self.api_type or "").lower() in ("azure", "azure_ad", "azuread")

    def _url(self, path: str) -> str:
        if self._is_azure():
            from urllib.parse import quote

            deployment = quote(self.api_engine or self._name(), safe="")
            path = f"openai/deployments/{deployment}/{path}"
        return address_of(path, self._api_base())

    def _api_base(self) -> str | None:
        """The address without what is added to it, where Azure shows it with that."""
        if self.api_base and self._is_azure():
            base, _, rest = self.api_base.partition("/openai/deployments/")
            return base + "".join(rest.partition("?")[1:])
        return self.api_base

    def _name(self) -> str:
        return self.model_name or self.model_id

    def _endpoint(self, path: str, key: str) -> Endpoint:
        from .transport.faults import Endpoint
        from .wire.shapes import DUMMY_KEY

        secrets = [] if key == DUMMY_KEY else [key]
        secrets += [str(value) for value in (self.headers or {}).values()]
        return Endpoint(self._url(path), self._name(), self.needs_key, secrets, self.key_advice)

    def _call(self, path: str, request: Json, key: str | None, policy: llm.CallPolicy) -> Call:
        """The request as it goes over HTTP; `request` is as for the `openai` library."""
        from .transport.fast import Call

        sent_key = self._key_to_send(key)
        endpoint = self._endpoint(path, sent_key)
        body = {name: value for name, value in request.items() if name not in _BESIDE_BODY}
        body.update(request.get("extra_body") or {})
        if self.api_engine and not self._is_azure():
            body["engine"] = self.api_engine
        query = dict(request.get("extra_query") or {})
        if self.api_version:
            query.setdefault("api-version", self.api_version)
        if query:
            endpoint.url = with_query(endpoint.url, query)
        headers = self._headers(sent_key, request)
        asked = request.get("timeout")
        if isinstance(asked, (int, float)):
            policy = replace(policy, timeout_s=float(asked))
        return Call(endpoint, headers, body, policy)

    def _headers(self, key: str, request: Json) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if request.get("stream") else "application/json",
            # Compressed events would wait in the compressor's buffer.
            "accept-encoding": "identity",
            "user-agent": f"llm/{llm.__version__}",
        }
        if (self.api_type or "").lower() == "azure":
            headers["api-key"] = key
        else:
            headers["authorization"] = f"Bearer {key}"
        if self.api_base is None:
            headers.update(_account_headers())
        for added in (self.headers or {}, request.get("extra_headers") or {}):
            headers.update({name.lower(): str(value) for name, value in added.items()})
        return headers


class _Shared(AtServer):
    """Settings of a model, and how its requests are made. Mixed into the model classes.

    Args:
        model_id: The id in `llm` and in the logs.
        key: A key that is used in any case.
        model_name: The model's name at the server; `model_id` where missing.
        api_base: The base URL; that of OpenAI where missing.
        api_type: `azure` or `azure_ad` for the classic addresses of Azure OpenAI.
        api_version: Sent as `api-version` in the query.
        api_engine: The deployment for Azure; else sent as `engine`.
        headers: HTTP headers to add.
        can_stream: The answer can be streamed.
        vision: Images and PDFs are accepted.
        audio: Audio is accepted.
        reasoning: There are options for reasoning.
        verbosity: There is an option `verbosity`.
        image_detail_original: `image_detail` may be `original`.
        service_tier: There is an option `service_tier`.
        supports_schema: Answers can be made to fit a schema.
        supports_tools: Tools can be called.
        allows_system_prompt: A system prompt is accepted.
    """

    # Referred to by name in stored rows: entries are added, never changed.
    json_replacements: ClassVar[llm.JSONObject] = {
        "completion_tokens_details_0": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "prompt_tokens_details_0": {"audio_tokens": 0, "cached_tokens": 0},
    }

    Options: ClassVar[Any] = FlaggedOptions()
    attachment_types: Iterable[str]
    default_max_tokens: int | None = None
    # What its requests are added to the address as.
    _path: ClassVar[str] = "chat/completions"

    def __init__(
        self,
        model_id: str,
        key: str | None = None,
        model_name: str | None = None,
        api_base: str | None = None,
        api_type: str | None = None,
        api_version: str | None = None,
        api_engine: str | None = None,
        headers: Mapping[str, str] | None = None,
        can_stream: bool = True,
        vision: bool = False,
        audio: bool = False,
        reasoning: bool = False,
        verbosity: bool = False,
        image_detail_original: bool = False,
        service_tier: bool = False,
        supports_schema: bool = False,
        supports_tools: bool = False,
        allows_system_prompt: bool = True,
    ) -> None:
        self.model_id = model_id
        if key is not None:
            self.key: str | None = key
        self.supports_schema = supports_schema
        self.supports_tools = supports_tools
        self.model_name = model_name
        self.api_base = api_base
        if api_base:
            llm.remember_request(api_base, {})
        self.api_type = api_type
        self.api_version = api_version
        self.api_engine = api_engine
        self.headers = headers
        self.can_stream = can_stream
        self.vision = vision
        self.allows_system_prompt = allows_system_prompt
        self.attachment_types = {*(IMAGE_TYPES if vision else ()), *(AUDIO_TYPES if audio else ())}
        self._reasoning = reasoning
        self._verbosity = verbosity
        self._image_detail_original = image_detail_original
        self._service_tier = service_tier

    def __str__(self) -> str:
        return f"OpenAI Chat: {self.model_id}"

    def _server(self) -> str:
        """The host of the server, under whose name is kept what it wants back."""
        from urllib.parse import urlsplit

        return urlsplit(self._url(self._path)).hostname or ""

    # What subclasses override.

    def build_messages(
        self,
        prompt: llm.Prompt,
        conversation: AnyConversation | None,
        image_detail: str | None = None,
    ) -> list[Json]:
        """The `messages` of a chat request, made from the prompt's complete chain.

        Raises:
            NotImplementedError: There is a system prompt and the model takes none.
        """
        from .wire.chat_requests import chat_messages

        messages = prompt.messages
        if not self.allows_system_prompt and any(m.role == "system" for m in messages):
            raise NotImplementedError("Model does not support system prompts")
        return chat_messages(messages, image_detail, self._server())

    def build_kwargs(self, prompt: llm.Prompt, stream: bool) -> Json:
        """The fields of a chat request that come from options, schema and tools."""
        from .wire.chat_requests import request_options

        return request_options(prompt, stream, self.default_max_tokens)

    def get_client(self, key: str | None, *, async_: bool = False) -> OpenAI | AsyncOpenAI:
        """A client of the `openai` library for this model.

        A class that overrides this method has its requests sent through the client it returns.

        Args:
            key: A key, or the name of a stored one.
            async_: Make an asynchronous client.
        """
        from urllib.parse import parse_qsl

        from .transport.sdk import make_client

        settings: Json = {
            "api_key": self._key_to_send(key),
            "default_headers": dict(self.headers) if self.headers else None,
        }
        base, query = base_url(self._api_base())
        settings["azure_endpoint" if self._is_azure() else "base_url"] = self.api_base and base
        settings["default_query"] = added = dict(parse_qsl(query, keep_blank_values=True))
        if self._is_azure():
            settings["azure_deployment"] = self.api_engine or None
            version = self.api_version or added.pop("api-version", None)
            settings["api_version"] = version or "2023-05-15"
        return make_client(settings, is_azure=self._is_azure(), is_async=async_)

    def set_usage(self, response: AnyResponse, usage: Json) -> None:
        """Register the tokens that the server counted, as its answer tells them."""
        from .wire.chat_requests import usage_fields

        response.set_usage(**usage_fields(usage))

    def _record_usage(self, response: AnyResponse, usage: Json) -> None:
        self.set_usage(response, usage)

    def list_model_ids(self) -> list[str]:
        """The ids of the models that the server of this model lists.

        Raises:
            ModelError: The server refused, or does not answer as the API promises.
        """
        from .transport.fast import exchange
        from .wire.shapes import listed_models

        call = self._call("models", {}, None, llm.CallPolicy(timeout_s=LISTING_TIMEOUT_S))
        call.body = None
        return [str(entry["id"]) for entry in listed_models(next(exchange(call))) if "id" in entry]

    # Requests.

    def prepare(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: AnyResponse,
        conversation: AnyConversation | None,
        key: str | None,
    ) -> Prepared:
        """What the model, or another in its place, asks its server for; nothing is sent yet."""
        from .wire.shapes import Forms

        if model := self._stand_in(prompt):
            return model.prepare(prompt, stream, response, conversation, key)
        streams = bool(stream and self.can_stream)
        request = self._request(prompt, streams, response, conversation)
        answer = self._accumulator(prompt, streams)
        return Prepared(
            Forms(self._url(self._path), request),
            answer,
            partial(self._sent, key, response),
            partial(self._sent_async, key, response),
            partial(self._settle, answer, response),
        )

    def _stand_in(self, prompt: llm.Prompt) -> _Shared | None:
        """Another model that answers this prompt in place of this one."""
        return None

    def _request(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: AnyResponse,
        conversation: AnyConversation | None = None,
    ) -> Json:
        from .wire.shapes import redacted_messages

        messages = self.build_messages(prompt, conversation, **image_detail(prompt))
        response.set_prompt_json({"messages": redacted_messages(messages)})
        fields = self.build_kwargs(prompt, stream)
        return {"model": self._name(), "messages": messages, "stream": stream, **fields}

    def _accumulator(self, prompt: llm.Prompt, stream: bool) -> Accumulator:
        from .wire.chat_answers import ChatAccumulator

        names = [tool.name for tool in prompt.tools if isinstance(tool, llm.Tool)]
        return ChatAccumulator(
            server=self._server(),
            tools=names,
            failure=self._failure,
            unwraps=prompt.schema is not None,
        )

    def _failure(self, value: object) -> llm.ModelError:
        """The error for an object in which the server tells of one."""
        from .transport.faults import Endpoint, told_in_stream

        endpoint = Endpoint(self._url(self._path), self._name(), self.needs_key)
        return told_in_stream(endpoint, value)

    def _uses_own_client(self) -> bool:
        """Whether somebody has overridden `get_client`."""
        return type(self).get_client is not _Shared.get_client or "get_client" in vars(self)

    def _sent(self, key: str | None, response: AnyResponse, request: Json) -> Iterator[Json]:
        """The JSON objects of the answer, through the transport that this model takes."""
        if not self._uses_own_client():
            from .transport.fast import exchange

            return exchange(self._call(self._path, request, key, response.policy), told=response)
        from .transport import sdk

        return sdk.exchange(*self._own(response, self.get_client(key)), request)

    def _sent_async(
        self, key: str | None, response: AnyResponse, request: Json
    ) -> AsyncIterator[Json]:
        """As `_sent`, without blocking the event loop."""
        if not self._uses_own_client():
            from .transport.fast import exchange_async

            call = self._call(self._path, request, key, response.policy)
            return exchange_async(call, told=response)
        from .transport import sdk

        return sdk.exchange_async(*self._own(response, self.get_client(key, async_=True)), request)

    def _own(self, response: AnyResponse, client: object) -> tuple[object, str, Endpoint]:
        """A client that a subclass made, where it leads to, and what errors say about that."""
        from .transport.sdk import under

        endpoint = self._endpoint(self._path, str(getattr(client, "api_key", "") or ""))
        if base := getattr(client, "base_url", None):
            endpoint.url = f"{str(base).rstrip('/')}/{self._path}"
        return under(response.policy, client), self._path, endpoint

    def _settle(self, answer: Accumulator, response: AnyResponse) -> Iterable[Event]:
        """Register what the answer amounts to; returns what is left of it to say.

        Raises:
            ConnectionLost: The answer is not complete.
        """
        from .transport.faults import Endpoint, TransportError, lost
        from .wire.shapes import FILTERED

        rest = answer.finish()
        if answer.resolved_model:
            response.set_resolved_model(answer.resolved_model)
        if answer.usage:
            self._record_usage(response, answer.usage)
        response.response_json = answer.response_json()
        response.finish_reason = answer.finish_reason
        if not answer.is_complete:
            trouble = TransportError("the end marker is missing")
            raise lost(Endpoint(self._url(self._path)), trouble, begun=True)
        for name, arguments, call_id in answer.calls():
            response.add_tool_call(llm.ToolCall(name, arguments, call_id))
        for notice in answer.notices():
            if notice == FILTERED:
                response.cut_off = FILTERED
            else:
                self._tell(notice)
        return rest

    def _tell(self, notice: str) -> None:
        """Let the user know something about the answer."""
        llm.notice(notice)


def _account_headers() -> dict[str, str]:
    """Organisation and project, which the environment names for OpenAI itself."""
    names = {"OPENAI_ORG_ID": "openai-organization", "OPENAI_PROJECT_ID": "openai-project"}
    return {name: os.environ[key] for key, name in names.items() if os.environ.get(key)}


def image_detail(prompt: llm.Prompt) -> dict[str, str]:
    """The argument `image_detail`, for those who override what takes it, where it is given."""
    detail = llm.option_values(prompt).get("image_detail")
    return {"image_detail": detail} if detail else {}
