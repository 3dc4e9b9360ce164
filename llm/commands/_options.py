"""Options that several commands share: one meaning, one wording, wherever they stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .._lazy import for_hints

if TYPE_CHECKING:
    from ..content import Attachment
    from ..prompting.request import Request

    _AttachmentParam = click.ParamType[Attachment]
else:
    # Generic only in newer releases of click.
    _AttachmentParam = click.ParamType
    for_hints(globals(), {"llm.content": "Attachment", "llm.prompting.request": "Request"})

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


# An option that says no more than this has its value on the command line, or has none.
_PLAIN = frozenset({"cls", "help", "hidden", "is_flag", "metavar", "multiple", "type"})


class Option(click.Option):
    """An option like any other; click does not look everywhere for a value that it cannot have.

    Click asks the environment, a map of defaults, a callback and the type about every option,
    given or not: a tenth of the time of a command that has forty of them.
    """

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._is_plain = _PLAIN.issuperset(attributes)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Note the value that was given, or that there was none."""
        name = self.name
        if (
            name is None
            or name in opts
            or not self._is_plain
            or ctx.default_map
            or ctx.auto_envvar_prefix
        ):
            return super().handle_parse_result(ctx, opts, args)
        none = False if self.is_flag else None
        value = () if self.multiple else none
        ctx.params[name] = value
        ctx.set_parameter_source(name, click.core.ParameterSource.DEFAULT)
        return value, args


option = partial(click.option, cls=Option)
flag = partial(option, is_flag=True)
several = partial(option, multiple=True)


@contextmanager
def _refusing(ctx: click.Context | None, param: click.Parameter | None) -> Iterator[None]:
    """Let what cannot be read be a wrong value of its option: exit code 2."""
    from ..errors import AttachmentError, InvalidInput

    try:
        yield
    except (AttachmentError, InvalidInput) as error:
        raise click.BadParameter(str(error), ctx, param) from error


class AttachmentType(_AttachmentParam):
    """A path, a URL or `-`, read while the command line is parsed."""

    name = "attachment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Attachment:
        """The attachment with its type; exit code 2 where it cannot be read."""
        from ..content import Attachment
        from ..prompting.inputs import attachment_from

        with _refusing(ctx, param):
            return value if isinstance(value, Attachment) else attachment_from(value)


def _typed_attachments(
    ctx: click.Context, param: click.Parameter, values: tuple[tuple[str, str], ...]
) -> tuple[Attachment, ...]:
    from ..prompting.inputs import typed_attachment

    with _refusing(ctx, param):
        return tuple(typed_attachment(value, mime_type) for value, mime_type in values)


def _finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number of seconds", ctx, param)
    return value


def _read_key(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from ..prompting.inputs import key_argument

    with _refusing(ctx, param):
        return key_argument(value)


def all_of(*options: Decorator[Command]) -> Decorator[Command]:
    """Several options at once, in the order in which `--help` lists them."""

    def decorate(command: Command) -> Command:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


number = partial(option, type=click.IntRange(min=0))
_pairs = partial(several, type=(str, str))
_seconds = partial(
    option, type=click.FloatRange(min=0, min_open=True), callback=_finite, metavar="SECONDS"
)
system_option = option("-s", "--system", help="System prompt to use.")
model_option = option(
    "-m",
    "--model",
    "model_id",
    envvar="LLM_MODEL",
    show_envvar=True,
    help="Model to use: its id or an alias.",
)
query_option = several(
    "-q", "--query", "queries", help="Use the model with the shortest id that matches these words."
)
database_option = option(
    "-d",
    "--database",
    type=click.Path(readable=True, dir_okay=False),
    help="Path to the log database.",
)
attachment_option = several(
    "-a",
    "--attachment",
    "attachments",
    type=AttachmentType(),
    help="Attachment: a path, a URL, or - for standard input.",
)
typed_attachment_option = _pairs(
    "--at",
    "--attachment-type",
    "attachment_types",
    callback=_typed_attachments,
    help="Attachment with its MIME type: --at image.jpg image/jpeg",
)
model_options_option = _pairs(
    "-o", "--option", "options", help="Option of the model, as key and value."
)
fragment_option = several(
    "-f",
    "--fragment",
    "fragments",
    help="Fragment for the prompt: an alias, hash, path or URL, - for standard input, dir:PATH, "
    "cmd:'COMMAND', similar:COLLECTION, or the prefix of a plugin.",
)
system_fragment_option = several(
    "--sf", "--system-fragment", "system_fragments", help="Fragment for the system prompt."
)
docs_options = all_of(
    option("--docs", metavar="NAME", help="Answer from these documents: see 'llm docs'."),
    flag("--quotes", help="Have each sentence quote the documents, and check the quotes."),
    flag("--strict", help="End with exit code 5 where a quote is not found."),
)
template_option = option("-t", "--template", help="Template to use.")
param_option = _pairs(
    "-p", "--param", help="Value of a variable of the template, as name and value."
)
trust_option = flag(
    "--trust",
    help="Let a template or conversation from elsewhere use the files, tools and so on it names.",
)
schema_option = option(
    "--schema",
    "schema_input",
    help="Schema that the answer has to fit: fields such as 'name, age int', JSON, a file, the id "
    "of a stored schema, or t:TEMPLATE.",
)
schema_multi_option = option("--schema-multi", help="Schema of the items of a list.")
key_option = option(
    "--key",
    # Before the options and the prompt that read the rest of standard input.
    is_eager=True,
    callback=_read_key,
    help="API key to use, the name of a stored one, @FILE, or - for the first line of stdin.",
)
no_stream_option = flag("--no-stream", help="Show the answer when it is complete, not as it comes.")
hide_reasoning_option = flag("-R", "--hide-reasoning", help="Do not show the model's reasoning.")
continue_option = flag("-c", "--continue", "_continue", help="Continue the conversation used last.")
conversation_option = option(
    "--cid",
    "--conversation",
    "conversation_id",
    help="Continue this conversation: its id or title, or the beginning of either.",
)
name_option = option("--name", metavar="TITLE", help="Title of the conversation.")
retries_option = number(
    "--retries",
    help="How often to send a request again that failed for a passing reason. Default: 2, and 4"
    " where the server is busy.",
)
timeout_option = _seconds(
    "--timeout",
    "timeout_s",
    help="Longest silence of the server, before and within the answer. Default: 600.",
)
fallback_option = several(
    "--fallback",
    metavar="MODEL",
    help="Model to try where the one before fails before its first token; may be repeated.",
)
raw_option = flag("--raw", help="Pass control sequences on to a terminal instead of showing them.")
truncate_option = option(
    "--truncate",
    type=click.Choice(["oldest", "middle", "none"]),
    help="Turns to leave out where the conversation is too long for the model. Default: none.",
)
functions_option = several(
    "--functions",
    "python_tools",
    help="Python code, or the path of a .py file, whose functions are tools.",
)


# How a model is called, and how its answer is shown.
call_options = all_of(retries_option, timeout_option, fallback_option, truncate_option, raw_option)
tool_options = all_of(
    several(
        "-T",
        "--tool",
        "tools",
        help='Tool that the model may call: its name, or a toolbox as Name or Name("argument").',
    ),
    functions_option,
    flag(
        "--td",
        "--tools-debug",
        "tools_debug",
        envvar="LLM_TOOLS_DEBUG",
        show_envvar=True,
        help="Show each tool call and its result.",
    ),
    flag("--ta", "--tools-approve", "tools_approve", help="Ask before each tool call."),
    number(
        "--cl",
        "--chain-limit",
        "chain_limit",
        default=5,
        show_default=True,
        help="How many answers in a row may call tools or use their results; 0 for no limit.",
    ),
    several(
        "--allow",
        metavar="RULE",
        help="Run calls of this tool without a question: TOOL or TOOL(argument=pattern).",
    ),
    several(
        "--deny", metavar="RULE", help="Refuse calls of this tool: TOOL or TOOL(argument=pattern)."
    ),
    option(
        "--ask",
        type=click.Choice(["always", "foreign", "never"]),
        help="Ask about every other call, or about tools that came with a template from elsewhere.",
    ),
    number(
        "--tool-output-limit",
        "output_limit",
        default=100_000,
        show_default=True,
        metavar="CHARACTERS",
        help="Longest result of a tool that the model is sent; 0 for no limit.",
    ),
    _seconds("--tool-timeout", "time_limit_s", help="Longest time that a tool call may take."),
    several(
        "--then", help="Further prompt, after the answer; $input in it stands for that answer."
    ),
)


# The names that plugins know the options by, where a request has others.
_FIELDS = {
    "_continue": "continue_latest",
    "async_": "is_async",
    "attachment_types": "typed_attachments",
    "json_output": "json",
    "param": "params",
    "python_tools": "functions",
    "template": "templates",
    "tools_approve": "approve",
    "tools_debug": "debug",
}


def request_from(given: Mapping[str, Any]) -> Request:
    """The request that the options of `llm prompt` or `llm chat` make, by their parameters."""
    from ..files.model_options import CallDefaults
    from ..prompting.request import LogSettings, OutputSettings, Request, ToolSettings

    values = {_FIELDS.get(name, name): value for name, value in given.items()}
    template = values.get("templates")
    if not isinstance(template, tuple):
        values["templates"] = (template,) if template else ()
    groups: dict[str, Any] = {
        "call": CallDefaults,
        "log": LogSettings,
        "output": OutputSettings,
        "tool_settings": ToolSettings,
    }
    for name, group in groups.items():
        own = values.keys() & group.__annotations__.keys()
        groups[name] = group(**{key: values.pop(key) for key in own})
    return Request(**values, **groups)
