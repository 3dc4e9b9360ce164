"""Conversations as Markdown that a person can edit, and back.

A front matter, then a heading for each message and for each part that is not plain text. A line
of a text that would be taken for one of these has a backslash in front, as has a blank line at
either end of a text; other blank lines around a text mean nothing. Bytes of attachments stand at
the end of the file. Metadata of providers is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from ...errors import InvalidInput
from ...models.turn_record import parents_of, path_to
from ...text import JSONObject, longest_backtick_run

if TYPE_CHECKING:
    from ...serialization import (
        AttachmentDict,
        ConversationDict,
        MessageDict,
        MessageNodeDict,
        PartDict,
        ToolCallPartDict,
        ToolResultPartDict,
    )

_ROLE = re.compile(r"## (system|user|assistant|tool)\s*", re.IGNORECASE)
_PART = re.compile(
    r"### (text|reasoning|tool call|tool result|attachment)\s*(?::\s*(.*?))?\s*", re.IGNORECASE
)
_BYTES = re.compile(r"\[(attachment-\d+)\]: data:([^;,]*);base64,(\S*)\s*")
_FIELD = re.compile(r"(\w+): ?(.*)")
_FENCE = re.compile(r"(`{3,})\w*")
_HIDDEN = "hidden"


def main_line(shape: ConversationDict) -> list[MessageNodeDict]:
    """The messages from the first one to the tip, as dictionaries."""
    return [shape["messages"][number] for number in path_to(shape["tip"], parents_of(shape))]


def to_markdown(shape: ConversationDict) -> str:
    """A conversation as Markdown."""
    import yaml

    head = {"title": shape["name"], "id": shape["id"], "model": shape["model"]}
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=10_000)
    blocks, content = message_blocks(shape)
    return "\n\n".join([f"---\n{front}---", *blocks, *content]) + "\n"


def message_blocks(shape: ConversationDict) -> tuple[list[str], list[str]]:
    """The blocks of text of the messages, and those of the bytes of their attachments."""
    writer = _Writer()
    blocks: list[str] = []
    for message in main_line(shape):
        blocks.append(f"## {message['role'].capitalize()}")
        for number, part in enumerate(message["parts"]):
            blocks += writer.part(part, is_first=number == 0)
    return blocks, writer.bytes


class _Writer:
    """Writes parts; collects the bytes that go to the end of the file."""

    def __init__(self) -> None:
        self.bytes: list[str] = []

    def part(self, part: PartDict, *, is_first: bool) -> Iterator[str]:
        """The blocks of one part: a heading, unless it begins a message with text, and a body."""
        if part["type"] == "text":
            if not is_first or not part["text"]:
                yield "### Text"
            if part["text"]:
                yield escaped(part["text"])
        elif part["type"] == "reasoning":
            yield f"### Reasoning: {_HIDDEN}" if part.get("redacted") else "### Reasoning"
            if part["text"]:
                yield escaped(part["text"])
        elif part["type"] == "attachment":
            yield from self._attachment(part.get("attachment") or {})
        else:
            yield from self._tool_part(part)

    def _tool_part(self, part: ToolCallPartDict | ToolResultPartDict) -> Iterator[str]:
        lines = []
        if part.get("tool_call_id") is not None:
            lines.append(f"id: {part['tool_call_id']}")
        if part.get("server_executed"):
            lines.append("server_executed: true")
        if part["type"] == "tool_call":
            kind = "call"
            text = json.dumps(part["arguments"], indent=2, ensure_ascii=False)
        else:
            kind, text = "result", part["output"]
            if part.get("exception") is not None:
                lines.append(f"exception: {json.dumps(part['exception'], ensure_ascii=False)}")
            for attachment in part.get("attachments", ()):
                lines.append(f"attachment: {json.dumps(dict(self._fields(attachment)))}")
        yield f"### Tool {kind}: {part['name']}"
        if lines:
            yield "\n".join(lines)
        fence = "`" * max(3, longest_backtick_run(text) + 1)
        yield escaped(f"{fence}{'json' if kind == 'call' else ''}\n{text}\n{fence}")

    def _attachment(self, shape: AttachmentDict) -> Iterator[str]:
        yield f"### Attachment: {shape.get('type') or 'unknown'}"
        fields = [f"{name}: {value}" for name, value in self._fields(shape) if name != "type"]
        if fields:
            yield "\n".join(fields)

    def _fields(self, shape: AttachmentDict) -> Iterator[tuple[str, str]]:
        """What describes an attachment; its bytes by the name that they have at the end."""
        given: JSONObject = {**shape}
        for name in ("type", "path", "url"):
            if given.get(name):
                yield name, given[name]
        if shape.get("content"):
            name = f"attachment-{len(self.bytes) + 1}"
            self.bytes.append(f"[{name}]: data:{shape.get('type') or ''};base64,{shape['content']}")
            yield "content", f"[{name}]"


def escaped(text: str) -> str:
    """`text` with a backslash in front of each line that would be taken for something else."""
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    first, last = (filled[0], filled[-1]) if filled else (len(lines), -1)
    for number, line in enumerate(lines):
        bare = line.lstrip("\\")
        is_edge = not first <= number <= last
        if _means_something(bare) or (not bare.strip() and (is_edge or bare != line)):
            lines[number] = f"\\{line}"
    return "\n".join(lines)


def unescaped(lines: Iterable[str]) -> str:
    """The text of `lines`: without blank lines around it, and without those backslashes."""
    body = list(lines)
    for end in (-1, 0):
        while body and not body[end].strip():
            body.pop(end)
    for number, line in enumerate(body):
        bare = line.lstrip("\\")
        if bare != line and (not bare.strip() or _means_something(bare)):
            body[number] = line[1:]
    return "\n".join(body)


def _means_something(line: str) -> bool:
    return any(pattern.fullmatch(line) for pattern in (_ROLE, _PART, _BYTES))


def from_markdown(text: str) -> tuple[JSONObject, list[MessageDict]]:
    """The front matter and the messages, as dictionaries, of a conversation in Markdown.

    Raises:
        InvalidInput: It is none; the message names the line.
    """
    lines = text.split("\n")
    if lines and all(line.endswith("\r") for line in lines[:-1]):
        # An editor on Windows saved it.
        lines = [line.removesuffix("\r") for line in lines]
    front, start = _front_matter(lines)
    reader = _Reader(_bytes_at_end(lines))
    for number in range(start, len(lines)):
        reader.take(lines[number], number + 1)
    messages = reader.finish()
    if not messages:
        raise InvalidInput("No message found: each begins with a line such as '## User'")
    return front, messages


def _front_matter(lines: list[str]) -> tuple[JSONObject, int]:
    if not lines or lines[0].strip() != "---" or "---" not in lines[1:]:
        return {}, 0
    end = lines.index("---", 1)
    from ...files.yaml_files import InvalidYAML, parse_yaml

    try:
        front = parse_yaml("\n".join(lines[1:end]))
    except InvalidYAML as error:
        problem = f"Line {error.line + 1}: the front matter is {error.problem}"
        raise InvalidInput(problem) from error
    return front if isinstance(front, dict) else {}, end + 1


def _bytes_at_end(lines: list[str]) -> dict[str, tuple[str, str]]:
    """Type and base64 of the attachments, by name; these lines are taken off the end."""
    found: dict[str, tuple[str, str]] = {}
    while lines and (not lines[-1].strip() or _BYTES.fullmatch(lines[-1])):
        match = _BYTES.fullmatch(lines.pop())
        if match is not None:
            found[match[1]] = (match[2], match[3])
    return found


class _Reader:
    """Takes the lines of a file one by one and makes messages of them."""

    def __init__(self, content: dict[str, tuple[str, str]]) -> None:
        self._content = content
        self._messages: list[JSONObject] = []
        self._kind: str | None = None
        self._argument = ""
        self._line = 0
        self._body: list[str] = []

    def take(self, line: str, number: int) -> None:
        """Take the next line, which has this number."""
        role, part = _ROLE.fullmatch(line), _PART.fullmatch(line)
        if role is None and part is None:
            if line.strip() and not self._messages:
                raise InvalidInput(f"Line {number}: expected a heading such as '## User'")
            self._body.append(line)
            return
        self._close()
        self._line = number
        if role is not None:
            self._messages.append({"role": role[1].lower(), "parts": []})
            self._kind = None
        elif part is not None:
            if not self._messages:
                raise InvalidInput(f"Line {number}: a part before the first '## ' heading")
            self._kind, self._argument = part[1].lower(), part[2] or ""

    def finish(self) -> list[MessageDict]:
        """The messages, once all lines were taken."""
        self._close()
        return cast("list[MessageDict]", self._messages)

    def _close(self) -> None:
        """Make a part of the lines since the last heading."""
        lines, self._body = self._body, []
        text = unescaped(lines)
        if self._messages and (self._kind is not None or text):
            self._messages[-1]["parts"].append(self._part(text))

    def _part(self, text: str) -> JSONObject:
        if self._kind in (None, "text"):
            return {"type": "text", "text": text}
        if self._kind == "reasoning":
            hidden = {"redacted": True} if self._argument == _HIDDEN else {}
            return {"type": "reasoning", "text": text, **hidden}
        fields, block = self._fields(text)
        if self._kind == "attachment":
            kind = {} if self._argument in ("", "unknown") else {"type": self._argument}
            return {"type": "attachment", "attachment": self._attachment({**kind, **dict(fields)})}
        return self._tool_part(fields, block)

    def _tool_part(self, fields: list[tuple[str, str]], block: str) -> JSONObject:
        named = dict(fields)
        part: JSONObject = {"type": "tool_result", "name": self._argument}
        if self._kind == "tool call":
            part.update(type="tool_call", arguments=self._json(block or "{}"))
        else:
            part["output"] = block
        if "id" in named:
            part["tool_call_id"] = named["id"]
        if named.get("server_executed") == "true":
            part["server_executed"] = True
        if "exception" in named:
            part["exception"] = self._json(named["exception"])
        values = [self._json(value) for name, value in fields if name == "attachment"]
        if values:
            part["attachments"] = [self._attachment(value) for value in values]
        return part

    def _fields(self, text: str) -> tuple[list[tuple[str, str]], str]:
        """The `name: value` lines of a body, and the code block behind them."""
        fields: list[tuple[str, str]] = []
        lines = text.split("\n") if text else []
        for number, line in enumerate(lines):
            fence = _FENCE.fullmatch(line)
            if fence is not None:
                inside = lines[number + 1 :]
                end = inside.index(fence[1]) if fence[1] in inside else len(inside)
                return fields, "\n".join(inside[:end])
            field = _FIELD.fullmatch(line)
            if field is not None:
                fields.append((field[1], field[2]))
            elif line.strip():
                raise InvalidInput(
                    f"Line {self._line}: {line!r} is neither 'name: value' nor a code block"
                )
        return fields, ""

    def _json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"Line {self._line}: not valid JSON: {error}") from error

    def _attachment(self, shape: dict[str, str]) -> dict[str, str]:
        name = shape.get("content", "").strip("[]")
        if not name:
            return shape
        if name not in self._content:
            raise InvalidInput(
                f"Line {self._line}: there is no line '[{name}]: data:...' at the end of the file"
            )
        kind, content = self._content[name]
        return {**({"type": kind} if kind else {}), **shape, "content": content}
