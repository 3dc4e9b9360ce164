"""Rows of the log for people: Markdown, to the character of what the tool has always printed, and
short YAML."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...text import (
    JSONObject,
    longest_backtick_run,
    maybe_fenced_code,
    token_usage_string,
    truncate_string,
)
from ...text.times import stored_time
from ..file.lookups import decoded

if TYPE_CHECKING:
    from ..read.rows import Row

NESTED = "    "
LONGEST_TEXT = 120


def markdown(
    rows: Iterable[Row],
    *,
    one_conversation: bool = False,
    usage: bool = False,
    expand: bool = False,
    time: Callable[[str | None], str] = stored_time,
) -> Iterator[str]:
    """The Markdown of each row; joined without anything between, it is the page.

    Args:
        rows: Rows in the shape of `llm logs --json`.
        one_conversation: All rows are of one conversation: only the first says which.
        usage: Add token counts and duration.
        expand: Show the content of fragments, not their hashes.
        time: Writes the time of a row.
    """
    page = _Page(time, one_conversation, usage, expand)
    for row in rows:
        yield "".join(f"{line}\n" for line in page.lines(row))


@dataclass
class _Page:
    """What is remembered from row to row: the system prompt and the tools shown already."""

    _time: Callable[[str | None], str]
    _one_conversation: bool
    _usage: bool
    _expand: bool
    _is_first: bool = True
    _system: str | None = None
    _tools: set[str] = field(default_factory=set)

    def lines(self, row: Row) -> Iterator[str]:
        yield from self._heading(row)
        if row.get("status"):
            yield from (_status(row), "")
        yield from ("## Prompt", "", row["prompt"] or "-- none --")
        for title, lines in self._sections(row):
            if lines:
                yield from ("", title, "", *lines)
        yield from ("", "## Response", "")
        yield from self._response(row)
        if self._usage:
            yield from _usage(row)

    def _heading(self, row: Row) -> Iterator[str]:
        date = self._time(row["datetime_utc"])
        if self._one_conversation and not self._is_first:
            yield from (f"# {date}", "")
            return
        self._is_first = False
        resolved = row["resolved_model"]
        suffix = f" (resolved: **{resolved}**)" if resolved else ""
        yield f"# {date}    conversation: {row['conversation_id']} id: {row['id']}"
        yield from ("", f"Model: **{row['model']}**{suffix}", "")

    def _sections(self, row: Row) -> Iterator[tuple[str, list[str]]]:
        yield "### Prompt fragments", self._fragments(row["prompt_fragments"])
        yield "## Options", _options(row.get("options_json"))
        yield "## System", self._changed_system(row["system"])
        yield "### System fragments", self._fragments(row["system_fragments"])
        yield "## Schema", _json_block(row.get("schema_json"))
        yield "### Tools", self._tool_lines(row["tools"])
        yield "### Tool results", _results(row["tool_results"], by_server=False)
        yield "### Attachments", _attachments(row["attachments"])
        yield "## Reasoning", _reasoning(row["reasoning"])

    def _fragments(self, fragments: list[JSONObject]) -> list[str]:
        if not self._expand:
            return [f"- {fragment['hash']}" for fragment in fragments]
        lines: list[str] = []
        for fragment in fragments:
            content = _shown_fragment(fragment["content"])
            lines += [f"<details><summary>{fragment['hash']}</summary>", content, "</details>"]
        return lines

    def _changed_system(self, system: str | None) -> list[str]:
        changed = system != self._system
        self._system = system
        return [system] if system and changed else []

    def _tool_lines(self, tools: list[JSONObject]) -> list[str]:
        # What is in no box comes first.
        boxes: dict[str, list[str]] = {"": []}
        for tool in tools:
            box, lines = tool["instance"], self._tool(tool)
            title = f"- `{box['name']}({box['arguments']})`:" if box else ""
            boxes.setdefault(title, [title]).extend(map(_nested, lines) if box else lines)
        return [line for lines in boxes.values() for line in lines]

    def _tool(self, tool: JSONObject) -> list[str]:
        name, tool_hash, schema = tool["name"], tool["hash"], tool["input_schema"]
        if tool_hash in self._tools:
            return [f"- **{name}**: `{tool_hash[:7]}`"]
        self._tools.add(tool_hash)
        properties = schema.get("properties") if isinstance(schema, dict) else None
        return [
            f"- **{name}**: `{tool_hash}`  ",
            _nested(tool["description"] or "") + "  ",
            f"{NESTED}Arguments: `{json.dumps(properties or {})}`",
        ]

    def _response(self, row: Row) -> Iterator[str]:
        calls = [line for call in row["tool_calls"] for line in _call(call)]
        if calls:
            yield from ("### Tool calls", "", *calls, "")
        results = _results(row["tool_results"], by_server=True)
        if results:
            yield from ("### Tool results", "", *results, "")
        if row["response"]:
            yield _shown_response(row["response"], row.get("schema_json"))
            yield ""


def _options(options: object) -> list[str]:
    return [f"- {k}: {v}" for k, v in options.items()] if isinstance(options, dict) else []


def _status(row: Row) -> str:
    error = " ".join(row.get("error", "").split())
    return f"Status: **{row['status']}**" + (f" ({error})" if error else "")


def _shown_fragment(content: str) -> str:
    stripped = content.strip()
    shown = maybe_fenced_code(stripped)
    return content if shown == stripped else shown


def _shown_response(response: str, schema: object) -> str:
    if schema:
        with suppress(ValueError):
            return "\n".join(_json_block(json.loads(response)))
    return response


def _json_block(value: object) -> list[str]:
    return [] if value is None else ["```json", json.dumps(value, indent=2), "```"]


def _call(call: JSONObject) -> list[str]:
    arguments = call["arguments"]
    lines = [f"- **{call['name']}**: `{call['tool_call_id']}`  "]
    if not arguments or not isinstance(arguments, dict):
        return [*lines, f"{NESTED}Arguments: {_span(json.dumps(arguments))}"]
    for key, value in arguments.items():
        if isinstance(value, str):
            lines += [f"{NESTED}{key}:", _nested(_fenced(value))]
        else:
            lines.append(f"{NESTED}{key}: {_span(json.dumps(value))}")
    return lines


def _results(results: list[JSONObject], *, by_server: bool) -> list[str]:
    lines: list[str] = []
    for result in results:
        if result.get("server_executed", False) != by_server:
            continue
        lines.append(f"- **{result['name']}**: `{result['tool_call_id']}`  ")
        block = _nested(_fenced(str(result["output"])))
        if result["exception"]:
            block += f"  \n{NESTED}**Error**: {result['exception']}\n"
        lines.append(block)
        for attachment in result["attachments"]:
            place = attachment["path"] or attachment["url"] or _size(attachment)
            lines.append(f"{NESTED}- {attachment['type']}: {place}")
    return lines


def _nested(text: str) -> str:
    """As `textwrap.indent`, whose import takes as long as reading the rows."""
    lines = text.splitlines(keepends=True)
    return "".join(NESTED + line if line.strip() else line for line in lines)


def _span(text: str) -> str:
    """Code within a line, between more backticks than any run of them in it has."""
    fence = "`" * (longest_backtick_run(text) + 1)
    return f"{fence}{text}{fence}"


def _fenced(text: str) -> str:
    fence = "`" * max(3, longest_backtick_run(text) + 1)
    return f"{fence}\n{text}\n{fence}"


def _attachments(attachments: list[JSONObject]) -> list[str]:
    lines = []
    for number, attachment in enumerate(attachments, 1):
        kind, path, url = attachment["type"], attachment["path"], attachment["url"]
        place = f"`{path}`" if path else url or f"`{_size(attachment)}`"
        lines.append(f"{number}. **{kind}**: {place}")
    return lines


def _size(attachment: JSONObject) -> str:
    return f"<{attachment['content_length'] or 0:,} bytes>"


def _reasoning(text: str | None) -> list[str]:
    if not text:
        return []
    return ["<details><summary>Reasoning trace</summary>", "", text.rstrip(), "", "</details>"]


def _usage(row: Row) -> list[str]:
    details = decoded(row["token_details"])
    counts = token_usage_string(row["input_tokens"], row["output_tokens"], None)
    text = ", ".join(filter(None, [counts, details and _span(json.dumps(details))]))
    lines = [text, ""] if text else []
    if row["duration_ms"] is not None:
        ms = row["duration_ms"]
        lines += [f"Duration: {ms}ms ({_clock(ms // 1000)})", ""]
    return ["## Token usage", "", *lines] if lines else []


def _clock(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}m"] if hours or minutes else []
    return " ".join([*parts, f"{seconds % 60}s"])


# Short YAML


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
    short.update((key, value) for key, value in _short_exchange(row).items() if value)
    for key in ("prompt_fragments", "system_fragments"):
        short[key] = [fragment["hash"] for fragment in row[key]]
    if usage and (row["input_tokens"] or row["output_tokens"]):
        short["usage"] = _short_usage(row)
    return short


def _short_exchange(row: Row) -> JSONObject:
    """What was said and done, cut to its beginning."""
    system, prompt = row["system"] or "", row["prompt"] or ""
    return {
        "status": row.get("status"),
        "error": row.get("error"),
        "tool_calls": [f"{c['name']}({json.dumps(c['arguments'])})" for c in row["tool_calls"]],
        "tool_results": [
            truncate_string(f"{result['name']}: {result['output']}")
            for result in row["tool_results"]
        ],
        "system": truncate_string(system, LONGEST_TEXT, normalize_whitespace=True),
        "prompt": truncate_string(prompt, LONGEST_TEXT, normalize_whitespace=True, keep_end=True),
        "attachments": [
            {key: file[key] for key in ("type", "path", "url") if file[key] or key == "type"}
            for file in row["attachments"]
        ],
    }


def _short_usage(row: Row) -> JSONObject:
    usage = {"input": row["input_tokens"], "output": row["output_tokens"]}
    if row["token_details"]:
        usage["details"] = decoded(row["token_details"])
    return usage
