"""The loaders of fragments that are always there: `dir:` for folders, `cmd:` for commands,
`similar:` for the entries of a collection that are nearest to the prompt.

A plugin that registers one of these prefixes keeps it; ours is then `llm-dir:` and so on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from .._lazy import for_hints
from ..content import Attachment, Fragment
from ..errors import LLMError
from ..files import config
from ..terminal import decode_text, show_note
from ..terminal.asking import confirm, quoted
from .gitignore import IgnoreRules, glob_pattern

if TYPE_CHECKING:
    from ..embeddings.collection import Entry
    from ..hookspecs import FragmentContext, FragmentLoader
    from ..text import JSONObject
else:
    for_hints(globals(), {"llm.hookspecs": "FragmentContext"})

ASK_ABOVE_BYTES = 1_000_000
# As git does: a file with a NUL in its first bytes is binary.
_SNIFFED_BYTES = 8000
# What `similar:` takes behind a question mark, and what reads each.
_SETTINGS: dict[str, Callable[[str], object]] = {
    "n": int,
    "chars": int,
    "min_score": float,
    "prefix": str,
    "where": str,
}
_NEAREST = 5
_MOST_CHARACTERS = 20_000


def load_folder(rest: str) -> list[Fragment | Attachment]:
    """Text files of a folder, or those that a pattern such as src/**/*.py matches.

    Files that .gitignore leaves out, binary files, and links that lead out of the folder are
    skipped. The number of files and their size are shown; above 1 MB you are asked.
    """
    files, links_out = find_files(rest or ".")
    sizes = {path: size for path in files if (size := text_size(path))}
    left_out = f" ({_count(links_out, 'link')} out of it left out)" if links_out else ""
    if not sizes:
        raise LLMError(f"no text files found in {rest!r}; .gitignore is honoured{left_out}")
    size_bytes = sum(sizes.values())
    amount = f"{_count(len(sizes), 'file')}, {_format_size(size_bytes)}{left_out}"
    summary = f"dir:{rest}: {amount}"
    if size_bytes <= ASK_ABOVE_BYTES:
        show_note(summary)
    elif (answer := confirm(f"{quoted(f'dir:{rest}')}: {amount}. Send all of it?")) is None:
        raise LLMError(
            f"{summary} is more than {_format_size(ASK_ABOVE_BYTES)}, and there is no terminal to "
            "ask on. Choose fewer files with a pattern such as dir:src/**/*.py"
        )
    elif not answer:
        raise LLMError("declined")
    base = Path.cwd()
    return [_as_fragment(path, base) for path in sizes]


def _as_fragment(path: Path, base: Path) -> Fragment:
    """A file as text under its name: without it nobody could talk about the file."""
    full = Path(os.path.abspath(path))
    content = full.read_bytes()
    name = full.relative_to(base).as_posix() if full.is_relative_to(base) else str(path)
    return Fragment(f"{name}\n---\n{decode_text(content).rstrip()}\n---\n", str(full))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _format_size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def find_files(rest: str) -> tuple[list[Path], int]:
    """The files, sorted, that the part after the prefix stands for, and how many links were left
    out."""
    path = Path(rest).expanduser()
    if path.is_dir():
        walk = _Walk(path)
        return sorted(walk.files()), walk.links_out
    if path.is_file():
        return [path], 0
    if not _has_wildcard(rest):
        raise LLMError(f"there is no folder {rest!r}")
    return _match_files(str(path))


class _Walk:
    """Looks for files in a folder and below, those aside that `.gitignore` leaves out.

    Attributes:
        links_out: How many links lead out of the folder: whoever made it may have put them there,
            and what they lead to is not in it.
    """

    def __init__(self, start: Path) -> None:
        self._start = start
        self._rules = IgnoreRules.for_folder(start.resolve())
        self.links_out = 0

    def files(self) -> Iterator[Path]:
        """The files; links to folders are not followed."""
        return self._below(self._start, self._rules)

    def _below(self, folder: Path, rules: IgnoreRules) -> Iterator[Path]:
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except OSError as error:
            show_note(f"{folder} is skipped: {error.strerror}")
            return
        for entry in found:
            is_folder = entry.is_dir(follow_symlinks=False)
            if _is_left_out(entry.name, rules, is_folder=is_folder):
                continue
            if is_folder:
                below = IgnoreRules(rules.folder / entry.name, rules)
                yield from self._below(folder / entry.name, below)
            elif self._is_to_be_read(entry):
                yield folder / entry.name

    def _is_to_be_read(self, entry: os.DirEntry[str]) -> bool:
        """Whether something is a file, or a link to one that is looked at by its own name too."""
        if not entry.is_symlink():
            return entry.is_file()
        rules, target = self._rules, Path(os.path.realpath(entry))
        if not target.is_relative_to(rules.folder):
            self.links_out += 1
            return False
        *folders, name = target.relative_to(rules.folder).parts or (".",)
        for part in folders:
            if _is_left_out(part, rules, is_folder=True):
                return False
            rules = IgnoreRules(rules.folder / part, rules)
        # A link to itself is no file.
        return os.path.isfile(target) and not _is_left_out(name, rules, is_folder=False)


def _is_left_out(name: str, rules: IgnoreRules, *, is_folder: bool) -> bool:
    """Whether something in the folder of these rules is not looked at."""
    return name == ".git" or rules.ignores(rules.folder / name, is_folder=is_folder)


def _match_files(pattern: str) -> tuple[list[Path], int]:
    """As `find_files`, the files that match a pattern.

    As in a shell, a wildcard stands for no hidden file.
    """
    fixed = takewhile(lambda part: not _has_wildcard(part), Path(pattern).parts[:-1])
    start = Path(*fixed)
    if not start.is_dir():
        return [], 0
    rest = Path(pattern).relative_to(start)
    matches = glob_pattern(rest.as_posix())
    walk = _Walk(start)
    found = []
    for path in walk.files():
        below = path.relative_to(start)
        if (_is_hidden(rest) or not _is_hidden(below)) and matches.fullmatch(below.as_posix()):
            found.append(path)
    return sorted(found), walk.links_out


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _has_wildcard(text: str) -> bool:
    return any(character in text for character in "*?[")


def text_size(path: Path) -> int:
    """The size of a text file in bytes; 0 for a binary one and one that nobody may read."""
    try:
        with open(path, "rb") as file:
            is_binary = b"\0" in file.read(_SNIFFED_BYTES)
            return 0 if is_binary else os.fstat(file.fileno()).st_size
    except OSError as error:
        show_note(f"{path} is skipped: {error.strerror}")
        return 0


def load_command_output(rest: str) -> Fragment:
    """What a shell command prints, as in -f cmd:'git diff'. A template cannot use it."""
    if not rest.strip():
        raise LLMError("no command is given, as in cmd:'git diff'")
    done = subprocess.run(rest, shell=True, stdin=subprocess.DEVNULL, capture_output=True)
    errors = decode_text(done.stderr)
    if done.returncode != 0:
        reason = errors.strip() or decode_text(done.stdout).strip() or "without a message"
        raise LLMError(f"the command ended with exit code {done.returncode}: {reason}")
    if errors:
        sys.stderr.write(errors)
    return Fragment(decode_text(done.stdout), f"cmd:{rest}")


def load_similar(rest: str, context: FragmentContext) -> list[Fragment | Attachment]:
    """The entries of a collection that are nearest to the prompt, as in similar:notes.

    At most 5 of them, and at most 20,000 characters: similar:notes?n=3&chars=8000. Further settings
    are min_score, prefix and where, as for llm similar. The texts must have been kept: --store.
    """
    name, _, query = rest.partition("?")
    settings = _settings(query)
    most = settings.pop("chars", _MOST_CHARACTERS)
    number = settings.pop("n", _NEAREST)
    from ..embeddings.collection import Collection

    path = config.embeddings_db()
    if not Collection.exists(path, name):
        raise LLMError(f"there is no collection {name!r} in {path} ('llm collections' lists them)")
    with Collection(name, path, create=False) as collection:
        found = collection.similar(context.prompt, number, **settings)
    entries = list(_within(found, most))
    characters = sum(len(entry.content or "") for entry in entries)
    ids = ", ".join(entry.id for entry in entries) or "nothing"
    show_note(f"similar:{name}: {ids} ({_count(characters, 'character')})")
    return [
        Fragment(f"{entry.id}\n---\n{entry.content}\n---\n", f"similar:{name}#{entry.id}")
        for entry in entries
    ]


def _settings(query: str) -> JSONObject:
    found: JSONObject = {}
    for setting in filter(None, query.split("&")):
        key, _, value = setting.partition("=")
        if key not in _SETTINGS:
            raise LLMError(f"{key!r} is no setting: there are {', '.join(_SETTINGS)}")
        try:
            found[key] = _SETTINGS[key](value)
        except ValueError:
            raise LLMError(f"{key} is a number, not {value!r}") from None
    return found


def _within(found: Iterable[Entry], most: int) -> Iterator[Entry]:
    """The first entries whose texts have so many characters together."""
    left = most
    for entry in found:
        if entry.content is None:
            raise LLMError(
                f"the text of {entry.id!r} was not kept: put it into the collection with --store"
            )
        left -= len(entry.content)
        if left < 0:
            if left + len(entry.content) == most:
                raise LLMError(
                    f"{entry.id!r}, the nearest, has {len(entry.content):,} characters, more than "
                    f"the {most:,} that may be sent: chars=NUMBER allows more"
                )
            return
        yield entry


BUILTIN_LOADERS: dict[str, FragmentLoader] = {
    "dir": load_folder,
    "cmd": load_command_output,
    "similar": load_similar,
}
