"""Conversations as Markdown that a person can edit, and back.

A front matter, then a heading for each message and for each part that is not plain text. A line
of a text that would be taken for one of these has a backslash in front, as has a blank line at
either end of a text; other blank lines around a text mean nothing. Bytes of attachments stand at
the end of the file. Metadata of providers is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

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

# Either a role, or a kind of part and its argument.
_HEADING = re.compile(
    r"## (system|user|assistant|tool)\s*"
    r"|### (text|reasoning|tool call|tool result|attachment)\s*(?::\s*(.*?))?\s*",
    re.IGNORECASE,
)
_BYTES = re.compile(r"\[(attachment-\d+)\]: data:([^;,]*);base64,(\S*)\s*")
_FIELD = re.compile(r"(\w+): ?(.*)")
_FENCE = re.compile(r"(`{3,})\w*")
_HIDDEN = "hidden"

# Type and base64 of attachments, by the name that they have at the end of the file.
Content = dict[str, tuple[str, str]]


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

    def _attachment(self, shape: AttachmentDict) -> Iterator[str]:
        fields = self._fields(shape)
        yield f"### Attachment: {fields.pop('type', 'unknown')}"
        if fields:
            yield "\n".join(f"{name}: {value}" for name, value in fields.items())

    def _tool_part(self, part: ToolCallPartDict | ToolResultPartDict) -> Iterator[str]:
        lines = []
        if part.get("tool_call_id") is not None:
            lines.append(f"id: {part['tool_call_id']}")
        if part.get("server_executed"):
            lines.append("server_executed: true")
        if part["type"] == "tool_call":
            kind, language = "call", "json"
            text = json.dumps(part["arguments"], indent=2, ensure_ascii=False)
        else:
            kind, language, text = "result", "", part["output"]
            if part.get("exception") is not None:
                lines.append(f"exception: {json.dumps(part['exception'], ensure_ascii=False)}")
            for attachment in part.get("attachments", ()):
                lines.append(f"attachment: {json.dumps(self._fields(attachment))}")
        yield f"### Tool {kind}: {part['name']}"
        if lines:
            yield "\n".join(lines)
        fence = "`" * max(3, longest_backtick_run(text) + 1)
        yield escaped(f"{fence}{language}\n{text}\n{fence}")

    def _fields(self, shape: AttachmentDict) -> dict[str, str]:
        """What describes an attachment; its bytes by the name that they have at the end."""
        given: JSONObject = {**shape}
        fields = {name: given[name] for name in ("type", "path", "url") if given.get(name)}
        if shape.get("content"):
            name = f"attachment-{len(self.bytes) + 1}"
            self.bytes.append(f"[{name}]: data:{shape.get('type') or ''};base64,{shape['content']}")
            fields["content"] = f"[{name}]"
        return fields


def escaped(text: str) -> str:
    """`text` with a backslash in front of each line that would be taken for something else."""
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()] or [len(lines)]
    for number, line in enumerate(lines):
        bare = line.lstrip("\\")
        is_edge = not filled[0] <= number <= filled[-1]
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
    return bool(_HEADING.fullmatch(line) or _BYTES.fullmatch(line))


def from_markdown(text: str) -> tuple[JSONObject, list[MessageDict]]:
    """The front matter and the messages, as dictionaries, of a conversation in Markdown.

    Raises:
        InvalidInput: It is none; the message names the line.
    """
    lines = text.split("\n")
    if all(line.endswith("\r") for line in lines[:-1]):
        # An editor on Windows saved it.
        lines = [line.removesuffix("\r") for line in lines]
    front, start = _front_matter(lines)
    content = _bytes_at_end(lines)
    messages: list[JSONObject] = []
    for number, heading, body in _sections(lines, start):
        role, kind, argument = heading.groups()
        if role:
            messages.append({"role": role.lower(), "parts": []})
        if kind or body:
            with _errors_at(number):
                part = _part((kind or "text").lower(), argument or "", body, content)
            messages[-1]["parts"].append(part)
    return front, cast("list[MessageDict]", messages)


def _sections(lines: Sequence[str], start: int) -> Iterator[tuple[int, re.Match[str], str]]:
    """The headings: the number of its line, what it says, and the text below it.

    Raises:
        InvalidInput: There is none, or something stands before the first message.
    """
    matches = {number: _HEADING.fullmatch(lines[number]) for number in range(start, len(lines))}
    headings = {number: match for number, match in matches.items() if match is not None}
    first, *others = [*headings, len(lines)]
    for number in range(start, first):
        if lines[number].strip():
            raise InvalidInput(f"Line {number + 1}: expected a heading such as '## User'")
    if not headings:
        raise InvalidInput("No message found: each begins with a line such as '## User'")
    if not headings[first][1]:
        raise InvalidInput(f"Line {first + 1}: a part before the first '## ' heading")
    for (number, heading), end in zip(headings.items(), others, strict=True):
        yield number + 1, heading, unescaped(lines[number + 1 : end])


def _front_matter(lines: list[str]) -> tuple[JSONObject, int]:
    if lines[0].strip() != "---" or "---" not in lines[1:]:
        return {}, 0
    end = lines.index("---", 1)
    from ...files.yaml_files import InvalidYAML, parse_yaml

    try:
        front = parse_yaml("\n".join(lines[1:end]))
    except InvalidYAML as error:
        problem = f"Line {error.line + 1}: the front matter is {error.problem}"
        raise InvalidInput(problem) from error
    return front if isinstance(front, dict) else {}, end + 1


def _bytes_at_end(lines: list[str]) -> Content:
    """The attachments at the end, whose lines are taken off."""
    found: Content = {}
    while lines:
        match = _BYTES.fullmatch(lines[-1])
        if match is not None:
            found[match[1]] = (match[2], match[3])
        elif lines[-1].strip():
            break
        lines.pop()
    return found


@contextmanager
def _errors_at(line: int) -> Iterator[None]:
    """Let errors begin with the number of a line."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise InvalidInput(f"Line {line}: not valid JSON: {error}") from error
    except InvalidInput as error:
        raise InvalidInput(f"Line {line}: {error}") from error


def _part(kind: str, argument: str, text: str, content: Content) -> JSONObject:
    """The part of what stands below its heading, which says what kind it is."""
    if kind == "text":
        return {"type": "text", "text": text}
    if kind == "reasoning":
        hidden = {"redacted": True} if argument == _HIDDEN else {}
        return {"type": "reasoning", "text": text, **hidden}
    fields, block = _fields(text)
    if kind == "attachment":
        named = {} if argument in ("", "unknown") else {"type": argument}
        return {"type": "attachment", "attachment": _attachment({**named, **dict(fields)}, content)}
    part: JSONObject = {"type": "tool_result", "name": argument, "output": block}
    if kind == "tool call":
        arguments = json.loads(block or "{}")
        part = {"type": "tool_call", "name": argument, "arguments": arguments}
    part.update(_tool_fields(fields, content))
    return part


def _tool_fields(fields: Iterable[tuple[str, str]], content: Content) -> JSONObject:
    part: JSONObject = {}
    for name, value in fields:
        if name == "id":
            part["tool_call_id"] = value
        elif name == "server_executed" and value == "true":
            part["server_executed"] = True
        elif name == "exception":
            part["exception"] = json.loads(value)
        elif name == "attachment":
            attachments = part.setdefault("attachments", [])
            attachments.append(_attachment(json.loads(value), content))
    return part


def _fields(text: str) -> tuple[list[tuple[str, str]], str]:
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
            raise InvalidInput(f"{line!r} is neither 'name: value' nor a code block")
    return fields, ""


def _attachment(shape: dict[str, str], content: Content) -> dict[str, str]:
    name = shape.get("content", "").strip("[]")
    if not name:
        return shape
    if name not in content:
        raise InvalidInput(f"there is no line '[{name}]: data:...' at the end of the file")
    kind, data = content[name]
    return {**({"type": kind} if kind else {}), **shape, "content": data}
