"""Templates: prompts with variables, stored with everything else that a prompt needs."""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from ._lazy import for_hints
from .errors import LLMError, LoadTemplateError
from .files import template_files as files
from .files.yaml_files import yaml_lines_of
from .text import JSONObject, has_plugin_prefix, suggestion
from .text.secrets import said_by

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
else:
    for_hints(
        globals(),
        {
            "pydantic_core": "ErrorDetails",
        },
    )

_SHOWN_PROBLEMS = 10
Origin = Literal["code", "file", "loader", "url"]


class AttachmentType(BaseModel):
    """An attachment of a template whose MIME type is given."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    type: str
    value: str


class Template(BaseModel):
    """A prompt to be filled in, with the model, options, tools and schema that go with it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    prompt: str | None = None
    system: str | None = None
    attachments: list[str] | None = None
    attachment_types: list[AttachmentType] | None = None
    model: str | None = None
    defaults: JSONObject | None = None
    options: JSONObject | None = None
    extract: bool | None = None
    extract_last: bool | None = None
    schema_object: JSONObject | None = None
    fragments: list[str] | None = None
    system_fragments: list[str] | None = None
    tools: list[str] | None = None
    functions: str | None = None

    _functions_is_trusted: bool = PrivateAttr(default=False)
    _origin: Origin = PrivateAttr(default="code")
    _reference: str = PrivateAttr(default="")

    class MissingVariables(LLMError):
        """Variables of a template have neither a value nor a default."""

    def evaluate(
        self, input: str, params: Mapping[str, object] | None = None
    ) -> tuple[str | None, str | None]:
        """Prompt and system prompt with the variables filled in.

        Args:
            input: The value of `$input`; the prompt itself where the template has none.
            params: Values of variables; they go before the template's defaults.

        Raises:
            Template.MissingVariables: A variable has no value.
        """
        values = {**(self.defaults or {}), **(params or {}), "input": input}
        missing = [name for name in self._variables() if name not in values]
        if missing:
            raise self.MissingVariables(f"Missing variables: {', '.join(missing)}")
        prompt = _fill(self.prompt, values) if self.prompt else input
        return prompt, _fill(self.system, values) if self.system else None

    def vars(self) -> set[str]:
        """Names of the variables that prompt and system prompt use."""
        return set(self._variables())

    def _variables(self) -> list[str]:
        """Names in the order of their first use, `$name` and `${name}` alike; `$$` is a dollar."""
        texts = f"{self.prompt or ''}\n{self.system or ''}"
        found = re.finditer(string.Template.pattern, texts)
        names = dict.fromkeys(match["named"] or match["braced"] for match in found)
        return list(filter(None, names))

    @property
    def uses_input(self) -> bool:
        """Whether `$input` occurs in the prompt or the system prompt."""
        return "input" in self._variables()

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return self._origin

    @property
    def reference(self) -> str:
        """What one that comes from elsewhere was looked up with."""
        return self._reference

    def set_origin(self, origin: Origin, reference: str = "") -> None:
        """Set where it comes from: only code in a file of the user's own may run."""
        self._origin, self._reference = origin, reference
        self._functions_is_trusted = origin == "file"

    @property
    def functions_are_trusted(self) -> bool:
        """Whether its functions may run."""
        return self._functions_is_trusted

    def trust_functions(self) -> None:
        """Let its functions run: the user consents."""
        self._functions_is_trusted = True

    def fields(self) -> JSONObject:
        """The keys that have a value, in the order in which `--save` writes them."""
        values = self.model_dump(exclude_none=True)
        return {key: values[key] for key in _SAVED_ORDER if key in values} | values


_SAVED_ORDER = (
    *("model", "prompt", "system", "defaults", "extract", "extract_last", "schema_object"),
    *("fragments", "system_fragments", "functions", "tools", "attachments"),
    *("attachment_types", "options"),
)


def load_template(name: str) -> Template:
    """The template that a person named.

    Args:
        name: A URL, `prefix:rest` for the loader of a plugin, a path, or the name of a template
            in the user's directory; tried in this order.

    Raises:
        LoadTemplateError: There is none, or it is broken: the message names file, line and key.
    """
    if name.startswith(("http://", "https://")):
        return _fetch(name)
    is_file = os.path.isfile(name)
    if has_plugin_prefix(name) and not is_file:
        return _load(name)
    path = Path(name) if is_file else files.templates_dir() / f"{name}{files.SUFFIX}"
    if not is_file and not os.path.isfile(path):
        hint = suggestion(name, files.template_names()) or (
            ": there is no such file or template ('llm templates' lists yours)"
        )
        raise LoadTemplateError(f"Invalid template: {name}{hint}")
    text = files.read_template_text(path)
    template = parse_template(name, text, str(path))
    _check_functions(template.functions, text, path)
    template.set_origin("file")
    return template


def _fetch(url: str) -> Template:
    from .net.http import fetch_text

    try:
        text = fetch_text(url)
    except LLMError as error:
        raise LoadTemplateError(f"Could not load template {url}: {error}") from error
    template = parse_template(url, text, url)
    template.set_origin("url", url)
    return template


def _load(name: str) -> Template:
    import llm

    prefix, _, rest = name.partition(":")
    loaders = llm.get_template_loaders()
    if prefix not in loaders:
        known = ", ".join(loaders) or "none"
        raise LoadTemplateError(f"Unknown template prefix: {prefix} (loaders: {known})")
    try:
        template = loaders[prefix](rest)
        if not isinstance(template, Template):
            raise TypeError(f"its loader returned {type(template).__name__}")
    except Exception as error:  # whatever the loader of a plugin raises
        text = said_by(error) or type(error).__name__
        if isinstance(error, ValidationError):
            text = "\n".join(map(_describe_problem, error.errors()[:_SHOWN_PROBLEMS]))
        raise LoadTemplateError(f"Could not load template {name}: {text}") from error
    template.set_origin("loader", name)
    return template


def parse_template(name: str, text: str, where: str) -> Template:
    """The template that a YAML text describes; its own name goes before one in the text.

    Raises:
        LoadTemplateError: It is broken: the message names file (`where`), line and key.
    """
    fields = {**files.parse_fields(text, where), "name": name}
    try:
        template = Template.model_validate(fields)
    except ValidationError as error:
        raise LoadTemplateError(_describe_problems(error.errors(), text, where)) from error
    except RecursionError as error:
        raise LoadTemplateError(f"{where}, line 1: nested too deeply") from error
    try:
        # YAML knows dates, bytes and values within themselves, JSON does not.
        json.dumps(template.schema_object)
    except (TypeError, ValueError, RecursionError) as error:
        line = yaml_lines_of(text)(["schema_object"])
        raise LoadTemplateError(f"{where}, line {line}: schema_object: {error}") from error
    return template


def _describe_problems(problems: list[ErrorDetails], text: str, where: str) -> str:
    """A line for each of the first problems."""
    line_of = yaml_lines_of(text)
    lines = [
        f"{where}, line {line_of(problem['loc'])}: {_describe_problem(problem)}"
        for problem in problems[:_SHOWN_PROBLEMS]
    ]
    if len(problems) > _SHOWN_PROBLEMS:
        lines.append(f"and {len(problems) - _SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def _describe_problem(problem: ErrorDetails) -> str:
    location, reason = problem["loc"], problem["msg"]
    if problem["type"] == "extra_forbidden":
        reason = f"unknown key{suggestion(str(location[0]), Template.model_fields)}"
    return f"{'.'.join(map(str, location))}: {reason}"


def _check_functions(code: str | None, text: str, path: Path) -> None:
    """Refuse code that is no Python; a path is looked at where it is used."""
    if not code or ("\n" not in code and code.endswith(".py")):
        return
    import warnings

    try:
        with warnings.catch_warnings():
            # They are shown when the code is run.
            warnings.simplefilter("ignore")
            compile(code, "functions", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = yaml_lines_of(text)(["functions"])
        if re.search(r"^functions:[ \t]*[|>]", text, re.MULTILINE):
            # The code of a block begins in the line below its key.
            line += getattr(error, "lineno", None) or 0
        reason = getattr(error, "msg", None) or error
        raise LoadTemplateError(f"{path}, line {line}: functions: {reason}") from error


def dump_yaml(fields: Mapping[str, object], *, sort_keys: bool = False) -> str:
    """The YAML of a template as 0.36 writes it: block style, indented by four."""
    import yaml

    return yaml.safe_dump(dict(fields), indent=4, default_flow_style=False, sort_keys=sort_keys)


def _fill(text: str, values: Mapping[str, object]) -> str:
    # A dollar that starts no name, as in a price, is left alone.
    return string.Template(text).safe_substitute(values)
