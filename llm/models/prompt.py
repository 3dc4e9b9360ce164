"""What goes to a model: text, system prompt, attachments, options, tools, and the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Generic, Union, cast

from .._lazy import MODEL_TYPES
from ..errors import ConversationNotSupported
from ..parts import AttachmentPart, Message, Part, TextPart, ToolResultPart
from ..text import JSONObject
from ..text.secrets import said_by
from ..tools.calling import ToolCall, ToolResult
from ..tools.tool import ServerSideTool, Tool
from ..tools.toolbox import Toolbox
from .asking import installed_model
from .message_chain import GivenMessage, MessageChain, as_messages, last_system_text
from .options import OptionsT_co, validated

if TYPE_CHECKING:
    from typing_extensions import TypedDict, TypeForm, Unpack

    from ..content import Attachment
    from ..schemas.typed import AnswerType
    from .base import _BaseModel
    from .conversation import _BaseConversation
    from .options import Options
    from .response_base import _BaseResponse
else:
    globals().update({**MODEL_TYPES, **globals()})

#: What may be passed as a tool.
ToolDef = Union[Tool, Toolbox, ServerSideTool, Callable[..., Any]]
AnyTool = Union[Tool, ServerSideTool]


if TYPE_CHECKING:
    #: What an answer has to fit: a JSON schema, the short notation, or a type.
    Schema = Union[JSONObject, str, TypeForm[Any]]

    class PromptValues(TypedDict, total=False):
        """Arguments of `Prompt` that `Model.prompt` takes, too; model options by name."""

        fragments: Sequence[str] | None
        attachments: Iterable[Attachment] | None
        system: str | None
        system_fragments: Sequence[str] | None
        messages: Sequence[GivenMessage] | None
        schema: Schema | None
        tools: Iterable[ToolDef] | None
        tool_results: Iterable[ToolResult] | None
        options: Mapping[str, object] | None
        hide_reasoning: bool
else:
    Schema = object


class Prompt(Generic[OptionsT_co]):
    """One request to a model, complete: `messages` is exactly what is sent, history included.

    Args:
        prompt: The text that was typed.
        model: The model that it is for.
        fragments: Longer texts that go before it.
        attachments: Files and media.
        system: The system prompt.
        system_fragments: Longer texts that go before the system prompt.
        prompt_json: The provider's own form of the request, where somebody kept it.
        options: Model options, validated or by name; the model's defaults where missing.
        schema: What the answer has to fit: JSON schema, the short notation, or a type.
        tools: What the model may call: functions, `Tool`s, toolboxes, server-side tools.
        tool_results: Results of the tool calls of the response before.
        messages: Exactly what is sent, complete; made from the other arguments where missing. Each
            may also be a dictionary, as `Message.to_dict()` or OpenAI's chat API have it.
        hide_reasoning: Do not ask the provider for visible reasoning.
    """

    #: The model, or whoever reads `messages`, has looked at what is sent.
    history_read: bool = False
    #: What this prompt goes on from, which knows where that ends in the log.
    continues: _BaseResponse | _BaseConversation[Any, Any] | None = None
    _chain: MessageChain | None = None
    # Those of the attachments that tools returned.
    _files_of_tools: Sequence[Attachment] = ()
    # The chain goes on with the list of what `continues` sent; made when somebody looks.
    _in_place: bool = False
    # What is sent of the chain where that is not all of it.
    _sent: list[Message] | None = None
    _defaults: Options | None = None
    #: Calls that the history ends in, to be run before this prompt is sent, not instead of it.
    calls_before: Sequence[ToolCall] = ()
    #: The type that the schema was made from.
    answer_type: AnswerType | None = None

    def __init__(
        self,
        prompt: str | None,
        model: _BaseModel,
        *,
        fragments: Sequence[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
        system: str | None = None,
        system_fragments: Sequence[str] | None = None,
        prompt_json: str | None = None,
        options: Options | Mapping[str, object] | None = None,
        schema: Schema | None = None,
        tools: Iterable[ToolDef] | None = None,
        tool_results: Iterable[ToolResult] | None = None,
        messages: Sequence[GivenMessage] | None = None,
        hide_reasoning: bool = False,
    ) -> None:
        self._prompt = prompt
        self.model = model
        self.fragments: list[str] = list(fragments) if fragments else []
        self.attachments: list[Attachment] = list(attachments) if attachments else []
        self.own_system = system
        self.system_fragments: list[str] = list(system_fragments) if system_fragments else []
        self.prompt_json = prompt_json
        self.schema: JSONObject | None = self._take_schema(schema)
        self.tool_sources: list[ToolDef] = list(tools) if tools else []
        self.tools: list[AnyTool] = wrap_tools(self.tool_sources) if tools else []
        self.tool_results: list[ToolResult] = list(tool_results) if tool_results else []
        #: The validated options; `None` where none were given.
        self.given_options = None if options is None else validated(model, options)
        self.hide_reasoning = hide_reasoning
        self._given = None if messages is None else as_messages(messages)

    def _take_schema(self, schema: object) -> JSONObject | None:
        if schema is None or isinstance(schema, dict):
            return schema
        from ..schemas.typed import answer_type

        found, self.answer_type = answer_type(schema)
        return found

    @classmethod
    def of_call(
        cls, prompt: str | None, model: _BaseModel, **values: Unpack[PromptValues]
    ) -> Prompt:
        """The prompt that the arguments of `Model.prompt` ask for.

        Args:
            values: Arguments of the class; `messages` are what was said before. The system prompt
                goes in front of these, unless they have a system message of their own.
        """
        request = cls(prompt, model, **values)
        if request.tool_results:
            request.attach_results(request.tool_results)
        if (history := request._given) is not None:
            if not any(message.role == "system" for message in history):
                history = request._lead_in() + history
            messages = history + request._results() + request._typed()
            request._chain = MessageChain(messages, len(history))
        return request

    @classmethod
    def from_history(
        cls,
        messages: Sequence[Message],
        prompt: str | None = None,
        system: str | None = None,
        *,
        model: _BaseModel | None = None,
    ) -> Prompt:
        """A prompt that sends the given history, and after it the new text.

        Args:
            messages: The complete history.
            prompt: The text to add; nothing is added where missing.
            system: Goes first where the history has no system message.
            model: The model it is for; the default model where missing.
        """
        model = model or installed_model(None, False)
        return cls.of_call(prompt, model, system=system, messages=messages)

    @property
    def prompt(self) -> str:
        """Fragments and typed text, joined by newlines; empty where there is neither."""
        return prompt_text(self.fragments, self._prompt)

    @prompt.setter
    def prompt(self, text: str | None) -> None:
        self._prompt = text
        self.fragments = []

    @property
    def system(self) -> str:
        """System fragments and system prompt, each stripped, joined by blank lines."""
        return system_text(self.system_fragments, self.own_system)

    @property
    def options(self) -> OptionsT_co:
        """The validated options; the model's defaults where none were given."""
        given = self.given_options
        if given is None and self._defaults is None:
            self._defaults = self.model.Options()
        return cast("OptionsT_co", self._defaults if given is None else given)

    @options.setter
    def options(self, options: Options) -> None:
        self.given_options = options

    @property
    def messages(self) -> list[Message]:
        """Everything that is sent: the history, then this turn's input. A list of your own."""
        self.history_read = True
        return list(self.sent_messages)

    @property
    def sent_messages(self) -> list[Message]:
        """What is sent: all messages but for the turns that were left out to make them fit."""
        return self.full_messages if self._sent is None else self._sent

    def send_only(self, messages: list[Message]) -> None:
        """Send these messages; `full_messages`, and the log, stay whole."""
        self._sent = messages

    @property
    def chain(self) -> MessageChain:
        """The history and this turn's input; reading it does not count as the model's reading."""
        if self._chain is None and self._in_place:
            self._go_on()
        if self._chain is None:
            own = self._given
            self._chain = MessageChain(
                self._lead_in() + self._results() + self._typed() if own is None else own
            )
        return self._chain

    @property
    def full_messages(self) -> list[Message]:
        """All messages of the chain. Setting them makes them all that there is."""
        return self.chain.messages

    @full_messages.setter
    def full_messages(self, messages: list[Message]) -> None:
        self._chain = MessageChain(messages)

    @property
    def has_history(self) -> bool:
        """Whether anything was said before this turn."""
        return (self._chain is not None or self._in_place) and self.chain.has_history()

    @property
    def is_complete(self) -> bool:
        """Whether the messages were given, so that they are sent as they are."""
        return self._given is not None

    def continue_from(self, history: list[Message]) -> None:
        """Make the chain: `history`, then this turn's input."""
        before = last_system_text(history)
        messages = history + self._input(before)
        self._chain = MessageChain(messages, len(history), self.system or before)

    def continue_after(self, last: _BaseResponse, *, in_place: bool = False) -> None:
        """Make the chain: what `last` was sent, what it answered, then this turn's input.

        Args:
            in_place: Go on with the list that `last` was sent. That is done when somebody looks
                at it: a model that keeps the history itself does not.
        """
        self.continues, self._chain, self._in_place = last, None, in_place
        if not in_place:
            # A list of our own, and long: it is not copied once more.
            messages, before = last.all_messages(), last.prompt.chain.system
            count = len(messages)
            messages += self._input(before)
            self._chain = MessageChain(messages, count, self.system or before)

    def _go_on(self) -> None:
        # Nobody may have looked at a thousand prompts before this one.
        waiting: list[tuple[Prompt, _BaseResponse]] = []
        prompt: Prompt[Any] = self
        while prompt._chain is None and prompt._in_place:
            last = cast("_BaseResponse", prompt.continues)
            waiting.append((prompt, last))
            prompt = last.prompt
        for prompt, last in reversed(waiting):
            earlier = last.prompt.chain
            own, system = prompt._input(earlier.system), prompt.system or earlier.system
            prompt._chain = earlier.extended(last.output_messages(), own, system)

    def follow_up(self, text: str, tool_results: list[ToolResult]) -> Prompt:
        """A prompt with the same tools, options, schema and system prompt, and other input.

        Files that tools returned go along as attachments where the model accepts their type.
        """
        following = Prompt(
            text,
            self.model,
            system=self.own_system,
            system_fragments=self.system_fragments,
            options=self.given_options,
            schema=self.schema,
            tool_results=tool_results,
            hide_reasoning=self.hide_reasoning,
        )
        # They were made ready, and checked against the model, for the first prompt.
        following.tools = list(self.tools)
        following.answer_type = self.answer_type
        following.attach_results(tool_results)
        return following

    def toolboxes(self) -> list[Toolbox]:
        """The toolboxes that were given; empty for almost every prompt."""
        return [tool for tool in self.tool_sources if isinstance(tool, Toolbox)]

    def take_prepared(self) -> None:
        """Take up the tools that toolboxes added while they got ready."""
        self.tools = wrap_tools(self.tool_sources)

    def as_text(self) -> Prompt:
        """The same prompt with what was said before in front of it as text."""
        request = copy(self)
        said = [m.text() for m in self.sent_messages if m.role in ("user", "assistant")]
        request.prompt = "\n".join(filter(None, said))
        return request

    def attach_results(self, tool_results: Iterable[ToolResult | ToolResultPart]) -> None:
        """Send the files that tools returned, where the model accepts their type: in a message of
        their own, before what the user says. What is attached already is not sent twice."""
        for result in tool_results:
            if result.attachments:
                from .accepting import accepted_files

                known = set(map(id, self.attachments))
                files = [f for f in accepted_files(self.model, [result]) if id(f) not in known]
                self.attachments += files
                self._files_of_tools = [*self._files_of_tools, *files]

    @property
    def typed_attachments(self) -> list[Attachment]:
        """The attachments without the files that tools returned."""
        of_tools = {id(file) for file in self._files_of_tools}
        return [file for file in self.attachments if id(file) not in of_tools]

    def _input(self, before: str) -> list[Message]:
        """This turn's messages; providers want results of tools right after the calls."""
        return self._results() + self._lead_in(before) + self._typed()

    def _lead_in(self, before: str = "") -> list[Message]:
        """The system message of this turn, where it differs from the last one, `before`."""
        text = self.system
        return [Message("system", [TextPart(text)])] if text and text != before else []

    def _results(self) -> list[Message]:
        results: list[Part] = [result_part(result) for result in self.tool_results]
        files: list[Part] = [*map(AttachmentPart, self._files_of_tools)]
        asked = [Message("tool", results)] if results else []
        return [*asked, Message("user", files)] if files else asked

    def _typed(self) -> list[Message]:
        """Text and attachments of the user."""
        text = self.prompt
        parts: list[Part] = [TextPart(text)] if text else []
        parts += map(AttachmentPart, self.typed_attachments)
        return [Message("user", parts)] if parts else []

    def __repr__(self) -> str:
        return f"Prompt(prompt={self.prompt!r}, model={self.model!r}, system={self.system!r})"


def prompt_text(fragments: Sequence[str], typed: str | None) -> str:
    """The text that a user sends; see `Prompt.prompt`."""
    if not fragments:
        return typed or ""
    return "\n".join([*fragments, typed] if typed else fragments)


def system_text(fragments: Sequence[str], own: str | None) -> str:
    """The text of a system message; see `Prompt.system`."""
    if not fragments:
        return own.strip() if own else ""
    bits = [*fragments, own or ""]
    return "\n\n".join([stripped for bit in bits if (stripped := bit.strip())])


def result_part(result: ToolResult) -> ToolResultPart:
    """The message part that tells a model the result of a tool call."""
    error = result.exception
    return ToolResultPart(
        name=result.name,
        output=result.output,
        tool_call_id=result.tool_call_id,
        attachments=list(result.attachments),
        exception=f"{type(error).__name__}: {said_by(error)}" if error is not None else None,
    )


def wrap_tools(tools: Iterable[ToolDef]) -> list[AnyTool]:
    """Tools from what people pass; a toolbox gives all of its own.

    Raises:
        TypeError: Something is neither a tool nor callable.
    """
    wrapped: list[AnyTool] = []
    for tool in tools:
        if isinstance(tool, (Tool, ServerSideTool)):
            wrapped.append(tool)
        elif isinstance(tool, Toolbox):
            wrapped.extend(tool.tools())
        elif callable(tool):
            wrapped.append(Tool.function(tool))
        else:
            raise TypeError(f"Invalid tool: {tool}")
    return wrapped


# What a prompt asks of a model, against what the model can do.


def check_prompt(prompt: Prompt, model: _BaseModel) -> None:
    """Refuse what the model cannot do, before anything is sent.

    Raises:
        ConversationNotSupported: There is a history and the model cannot take one.
        ValueError: Attachments, a schema or tools are given that the model does not support.
    """
    if prompt.attachments and (typed := prompt.typed_attachments):
        from .accepting import check_attachments

        check_attachments(typed, model)
    if prompt.schema and not model.supports_schema:
        raise ValueError(f"{model} does not support schemas")
    if prompt.tool_sources:
        _check_tools(prompt, model)
    if not model.supports_conversation and any(
        message.role in ("assistant", "tool") for message in prompt.full_messages
    ):
        raise ConversationNotSupported(f"{model} does not support conversations")


def _check_tools(prompt: Prompt, model: _BaseModel) -> None:
    # A toolbox counts although it may have no tools before it is prepared.
    if not model.supports_tools and not all(
        isinstance(tool, ServerSideTool) for tool in prompt.tool_sources
    ):
        raise ValueError(f"{model} does not support tools")
    _partition_tools(model, prompt.tools)


def _partition_tools(
    model: _BaseModel, tools: Iterable[AnyTool]
) -> tuple[list[Tool], list[ServerSideTool]]:
    """The tools that run here and those that the provider runs.

    Raises:
        ValueError: The model does not claim a server-side tool.
    """
    functions: list[Tool] = []
    server_side: list[ServerSideTool] = []
    for tool in tools:
        if not isinstance(tool, ServerSideTool):
            functions.append(tool)
            continue
        # A class covers its subclasses; the base class covers only itself.
        if not any(
            type(tool) is ServerSideTool if claimed is ServerSideTool else isinstance(tool, claimed)
            for claimed in model.supported_server_side_tools
        ):
            raise ValueError(
                f"Model '{model.model_id}' does not support server-side tool '{tool.name}'. "
                f"Run: llm tools -m {model.model_id}"
            )
        server_side.append(tool)
    return functions, server_side
