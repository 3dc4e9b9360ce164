"""Rows of the log as short YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...text import JSONObject
from ...text.shaping import truncate_string
from ..file.lookups import decoded

if TYPE_CHECKING:
    from ..read.rows import Row

LONGEST_TEXT = 120


def short_yaml(rows: Iterable[Row], *, usage: bool = False) -> Iterator[str]:
    """The YAML of each row, one item of a list.

    Args:
        rows: Rows in the shape of `llm logs --json`.
        usage: Add token counts.
    """
    import yaml

    for row in rows:
        yield yaml.safe_dump([short_row(row, usage=usage)], sort_keys=False)


def short_row(row: Row, *, usage: bool = False) -> JSONObject:
    """What `llm logs --short` tells of a row; what is empty is left out."""
    short = {
        "model": row["model"],
        "datetime": (row["datetime_utc"] or "")[:19],
        "duration_ms": row["duration_ms"],
        "conversation": row["conversation_id"],
    }
    middle = {
        "status": row.get("status"),
        "error": row.get("error"),
        "tool_calls": [f"{c['name']}({json.dumps(c['arguments'])})" for c in row["tool_calls"]],
        "tool_results": [
            truncate_string(f"{result['name']}: {result['output']}")
            for result in row["tool_results"]
        ],
        "system": truncate_string(row["system"] or "", LONGEST_TEXT, normalize_whitespace=True),
        "prompt": truncate_string(
            row["prompt"] or "", LONGEST_TEXT, normalize_whitespace=True, keep_end=True
        ),
        "attachments": [_attachment(attachment) for attachment in row["attachments"]],
    }
    short.update((key, value) for key, value in middle.items() if value)
    for key in ("prompt_fragments", "system_fragments"):
        short[key] = [fragment["hash"] for fragment in row[key]]
    if usage and (row["input_tokens"] or row["output_tokens"]):
        short["usage"] = _usage(row)
    return short


def _attachment(attachment: JSONObject) -> dict[str, str]:
    shown = {"type": attachment["type"]}
    for key in ("path", "url"):
        if attachment[key]:
            shown[key] = attachment[key]
    return shown


def _usage(row: Row) -> JSONObject:
    usage = {"input": row["input_tokens"], "output": row["output_tokens"]}
    if row["token_details"]:
        usage["details"] = decoded(row["token_details"])
    return usage
