"""Templates: prompts with variables, stored with everything else that a prompt needs."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any, Optional

from pydantic import BaseModel, ConfigDict, PrivateAttr


class AttachmentType(BaseModel):
    """An attachment of a template whose MIME type is given."""

    model_config = ConfigDict(extra="forbid")

    type: str
    value: str


class Template(BaseModel):
    """A prompt to be filled in, with the model, options, tools and schema that go with it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    prompt: Optional[str] = None
    system: Optional[str] = None
    attachments: Optional[list[str]] = None
    attachment_types: Optional[list[AttachmentType]] = None
    model: Optional[str] = None
    defaults: Optional[dict[str, Any]] = None
    options: Optional[dict[str, Any]] = None
    extract: Optional[bool] = None
    extract_last: Optional[bool] = None
    schema_object: Optional[dict[str, Any]] = None
    fragments: Optional[list[str]] = None
    system_fragments: Optional[list[str]] = None
    tools: Optional[list[str]] = None
    functions: Optional[str] = None

    # Only code that comes from a file of the user's own may run.
    _functions_is_trusted: bool = PrivateAttr(default=False)

    class MissingVariables(Exception):
        """Variables of a template have neither a value nor a default."""

    def evaluate(
        self, input: str, params: Mapping[str, Any] | None = None
    ) -> tuple[str | None, str | None]:
        """Prompt and system prompt with the variables filled in.

        Args:
            input: The value of `$input`; the prompt itself where the template has none.
            params: Values of variables; they go before the template's defaults.

        Raises:
            Template.MissingVariables: A variable has no value.
        """
        values = {**(self.defaults or {}), **(params or {}), "input": input}
        system = self._filled(self.system, values) if self.system else None
        if not self.prompt:
            return input, system
        return self._filled(self.prompt, values), system

    def vars(self) -> set[str]:
        """Names of the variables that prompt and system prompt use."""
        return {
            name
            for text in (self.prompt, self.system)
            for name in (_variables(text) if text else ())
        }

    @classmethod
    def _filled(cls, text: str, values: Mapping[str, Any]) -> str:
        missing = [name for name in _variables(text) if name not in values]
        if missing:
            raise cls.MissingVariables(f"Missing variables: {', '.join(missing)}")
        return string.Template(text).safe_substitute(values)


def _variables(text: str) -> list[str]:
    """Names in the order of their first use, `$name` and `${name}` alike; `$$` is a dollar."""
    found = [
        match["named"] or match["braced"]
        for match in re.finditer(string.Template.pattern, text)
        if match["named"] or match["braced"]
    ]
    return list(dict.fromkeys(found))
