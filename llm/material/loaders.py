"""The loaders of fragments that are always there: `dir:` for folders, `cmd:` for commands.

A plugin that registers one of these prefixes keeps it; ours is then `llm-dir:` or `llm-cmd:`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from ..content import Attachment, Fragment
from ..errors import LLMError
from ..terminal import decode_text, show_note
from ..terminal.asking import confirm, quoted
from .gitignore import IgnoreRules, glob_pattern

if TYPE_CHECKING:
    from ..hookspecs import FragmentLoader

ASK_ABOVE_BYTES = 1_000_000
# As git does: a file with a NUL in its first bytes is binary.
_SNIFFED_BYTES = 8000


def load_folder(rest: str) -> list[Fragment | Attachment]:
    """Text files of a folder, or those that a pattern such as src/**/*.py matches.

    Files that .gitignore leaves out and binary files are skipped. The number of files and their
    size are shown; above 1 MB you are asked.
    """
    sizes = {path: size for path in _find_files(rest or ".") if (size := _text_size(path))}
    if not sizes:
        raise LLMError(f"no text files found in {rest!r} (.gitignore is honoured)")
    size_bytes = sum(sizes.values())
    plural = "" if len(sizes) == 1 else "s"
    amount = f"{len(sizes)} file{plural}, {_format_size(size_bytes)}"
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


def _format_size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def _find_files(rest: str) -> list[Path]:
    """The files, sorted, that the part after the prefix stands for."""
    path = Path(rest).expanduser()
    if path.is_dir():
        return sorted(_walk_files(path, IgnoreRules.for_folder(path.resolve())))
    if path.is_file():
        return [path]
    if not _has_wildcard(rest):
        raise LLMError(f"there is no folder {rest!r}")
    return sorted(_match_files(str(path)))


def _walk_files(folder: Path, rules: IgnoreRules) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError as error:
        show_note(f"{folder} is skipped: {error.strerror}")
        return
    for entry in found:
        is_folder = entry.is_dir(follow_symlinks=False)
        real = rules.folder / entry.name
        if entry.name == ".git" or rules.ignores(real, is_folder=is_folder):
            continue
        if is_folder:
            yield from _walk_files(folder / entry.name, IgnoreRules(real, rules))
        # Not so for a link that leads to itself.
        elif os.path.isfile(entry):
            yield folder / entry.name


def _match_files(pattern: str) -> Iterator[Path]:
    """The files that match a pattern, those aside that are left out where they are.

    As in a shell, a wildcard stands for no hidden file; links to folders are not followed.
    """
    fixed = takewhile(lambda part: not _has_wildcard(part), Path(pattern).parts[:-1])
    start = Path(*fixed)
    if not start.is_dir():
        return
    rest = Path(pattern).relative_to(start)
    matches = glob_pattern(rest.as_posix())
    for path in _walk_files(start, IgnoreRules.for_folder(start.resolve())):
        below = path.relative_to(start)
        if (_is_hidden(rest) or not _is_hidden(below)) and matches.fullmatch(below.as_posix()):
            yield path


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _has_wildcard(text: str) -> bool:
    return any(character in text for character in "*?[")


def _text_size(path: Path) -> int:
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


BUILTIN_LOADERS: dict[str, FragmentLoader] = {"dir": load_folder, "cmd": load_command_output}
