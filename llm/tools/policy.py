"""Rules about which tool calls may run. Nothing is read, asked or written here."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from .toolbox import _split_at_commas

#: When to ask about a call that no rule allows or denies.
ASK_CHOICES = ("always", "foreign", "never")
DEFAULT_ASK = "foreign"
_KEYS = ("ask", "allow", "deny")

_RULE = re.compile(r"([^\s()]+)\s*(?:\((.*)\))?", re.DOTALL)
_ABSOLUTE = re.compile(r"/|[A-Za-z]:[/\\]|\\\\")
# Not an argument, but what the tool declares of itself.
_SIDE_EFFECTS = "side_effects"


class Decision(Enum):
    """What is to happen to a tool call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True)
class Candidate:
    """A tool call that rules are applied to.

    Args:
        tool: The tool's name.
        arguments: The arguments that the model chose.
        toolbox: The name of the toolbox that the tool belongs to.
        is_untrusted: Somebody else than the person chose the tool.
        side_effects: Whether it can change or send anything.
    """

    tool: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    toolbox: str | None = None
    is_untrusted: bool = False
    side_effects: bool = True


@dataclass(frozen=True)
class Rule:
    """Tools, and values of their arguments, as patterns.

    Args:
        text: The rule as it was written.
        tool: Pattern of the name of a tool, or of its toolbox.
        arguments: Patterns of arguments by name; all have to match.
    """

    text: str
    tool: str
    arguments: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Rule:
        """The rule that a text such as `read_file(path=docs/*)` describes.

        Raises:
            ValueError: It has another form.
        """
        match = _RULE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"Not a rule: {text!r}. Write TOOL or TOOL(argument=pattern)")
        segments = _split_at_commas(match[2]) if match[2] else []
        return cls(text.strip(), match[1], tuple(_argument(part, text) for part in segments))

    def allows(self, call: Candidate) -> bool:
        """Whether the rule covers a call, read as a permission.

        A value that climbs out of a folder with `..` is covered by no pattern of that folder.
        """
        return self._covers(call, _is_allowed)

    def denies(self, call: Candidate) -> bool:
        """Whether the rule covers a call, read as a prohibition: paths are also simplified."""
        return self._covers(call, _is_denied)

    def _covers(self, call: Candidate, matches: Callable[[str, str], bool]) -> bool:
        # A model could make up an argument of that name.
        known = {**call.arguments, _SIDE_EFFECTS: call.side_effects}
        names = [name for name in (call.tool, call.toolbox) if name]
        return any(fnmatchcase(name, self.tool) for name in names) and all(
            name in known and matches(_as_text(known[name]), pattern)
            for name, pattern in self.arguments
        )


def _argument(segment: str, rule: str) -> tuple[str, str]:
    name, equals, pattern = (piece.strip() for piece in segment.partition("="))
    if not name or not equals:
        raise ValueError(f"Not a rule: {rule!r}. {segment.strip()!r} is not argument=pattern")
    if len(pattern) > 1 and pattern[0] == pattern[-1] == '"':
        pattern = json.loads(pattern)
    if name == _SIDE_EFFECTS:
        pattern = pattern.lower()
    return name, pattern


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _is_allowed(value: str, pattern: str) -> bool:
    is_safe = "/" not in pattern or _climbs(pattern) or not _climbs(value)
    return is_safe and fnmatchcase(value, pattern)


def _climbs(path: str) -> bool:
    return ".." in re.split(r"[/\\]", path)


def _is_denied(value: str, pattern: str) -> bool:
    # Two slashes in front are left by normpath, and mean no more than one.
    simplified = re.sub("^//+", "/", posixpath.normpath(value)) if value else value
    return fnmatchcase(value, pattern) or fnmatchcase(simplified, pattern)


@dataclass(frozen=True)
class Rules:
    """Rules of one origin, e.g. of the command line or of a file.

    Args:
        allow: Calls that run without a question.
        deny: Calls that never run, whatever is allowed.
        ask: One of `ASK_CHOICES`; `None` leaves it to the next origin.
    """

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    ask: str | None = None

    @classmethod
    def parse(
        cls, allow: Iterable[str] = (), deny: Iterable[str] = (), ask: str | None = None
    ) -> Rules:
        """Rules from their texts.

        Raises:
            ValueError: One of them has another form, or `ask` is none of the choices.
        """
        if ask is not None and ask not in ASK_CHOICES:
            raise ValueError(f"ask is {ask!r}, but has to be one of {', '.join(ASK_CHOICES)}")
        return cls(tuple(map(Rule.parse, allow)), tuple(map(Rule.parse, deny)), ask)

    @classmethod
    def from_data(cls, data: object, folder: str, resolve: Callable[[str], str] = str) -> Rules:
        """Rules from the content of `tools.yaml`, as they hold in a folder.

        Args:
            data: A mapping with `ask`, `allow`, `deny` and `folders`, whose keys are absolute
                paths and whose values are mappings of the same kind.
            folder: The absolute path of the folder; rules of the folders above it hold too.
            resolve: Gives the form of a path that `folder` has, without symbolic links.

        Raises:
            ValueError: The content has another form.
        """
        content = _mapping(data, "the file", (*_KEYS, "folders"))
        found = cls._from_mapping(content)
        folders = _mapping(content.get("folders"), "folders")
        for path in sorted(folders, key=len):
            if not _ABSOLUTE.match(path):
                raise ValueError(f"folders: {path!r} has to be an absolute path")
            rules = cls._from_mapping(_mapping(folders[path], f"folders: {path}", _KEYS))
            if _is_within(folder, resolve(path)):
                found = cls(
                    found.allow + rules.allow, found.deny + rules.deny, rules.ask or found.ask
                )
        return found

    @classmethod
    def _from_mapping(cls, content: Mapping[str, object]) -> Rules:
        ask = content.get("ask")
        return cls.parse(
            _texts(content, "allow"), _texts(content, "deny"), None if ask is None else str(ask)
        )


def _mapping(data: object, where: str, keys: Sequence[str] | None = None) -> Mapping[str, object]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} has to be a mapping")
    for key in data:
        if not isinstance(key, str) or (keys is not None and key not in keys):
            raise ValueError(f"{key!r} in {where} is not known: {', '.join(keys or ('paths',))}")
    return data


def _texts(content: Mapping[str, object], key: str) -> list[str]:
    found = content.get(key) or []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError(f"{key} has to be a list of rules")
    return found


def _is_within(folder: str, path: str) -> bool:
    above = path.rstrip("/\\") or path
    return folder == above or folder.startswith((f"{above}/", f"{above}\\")) or above == "/"


def decide(origins: Sequence[Rules], call: Candidate) -> tuple[Decision, str]:
    """What is to happen to a call, and why; no reason where nothing speaks against it.

    The first origin with a rule for the call decides; within one, `deny` beats `allow`.

    Args:
        origins: The rules, the strongest first.
    """
    for rules in origins:
        for rule in rules.deny:
            if rule.denies(call):
                return Decision.DENY, f"the rule {rule.text} denies it"
        for rule in rules.allow:
            if rule.allows(call):
                return Decision.ALLOW, f"the rule {rule.text} allows it"
    ask = next(filter(None, [rules.ask for rules in origins]), DEFAULT_ASK)
    if ask == "always":
        return Decision.ASK, "every call is to be asked about"
    if ask == "foreign" and call.is_untrusted:
        return Decision.ASK, "the tool comes from elsewhere"
    return Decision.ALLOW, ""
