"""Templates: prompts with variables, stored with everything else that a prompt needs."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any, Optional

from pydantic import BaseModel, ConfigDict, PrivateAttr

from .errors import LLMError


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

    class MissingVariables(LLMError):
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
        missing = [name for name in self._variables() if name not in values]
        if missing:
            raise self.MissingVariables(f"Missing variables: {', '.join(missing)}")
        prompt = _filled(self.prompt, values) if self.prompt else input
        return prompt, _filled(self.system, values) if self.system else None

    def vars(self) -> set[str]:
        """Names of the variables that prompt and system prompt use."""
        return set(self._variables())

    def _variables(self) -> list[str]:
        """Names in the order of their first use, `$name` and `${name}` alike; `$$` is a dollar."""
        found = [
            match["named"] or match["braced"]
            for text in (self.prompt, self.system)
            for match in re.finditer(string.Template.pattern, text or "")
        ]
        return list(dict.fromkeys(name for name in found if name))


def _filled(text: str, values: Mapping[str, Any]) -> str:
    # A dollar that starts no name, as in a price, is left alone.
    return string.Template(text).safe_substitute(values)
