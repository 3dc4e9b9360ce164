"""Values that fit a schema, for models that answer what the documentation asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sample(schema: Any, definitions: Mapping[str, Any] | None = None) -> Any:
    """A value that fits a schema of the kind that the pages make."""
    definitions = schema.get("$defs", definitions or {})
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return sample(definitions[name], definitions)
    kind = schema.get("type")
    if kind == "object":
        parts = schema.get("properties", {})
        return {name: sample(part, definitions) for name, part in parts.items()}
    if kind == "array":
        return [sample(schema["items"], definitions)] * 2
    return {"integer": 3, "number": 0.5, "boolean": True}.get(kind, "Cleo")
