"""Refuses a release whose tag is not the version of the package and of its changelog.

`python .ci/release.py TAG` prints what differs and exits with 1.
"""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def newest_section(changelog: str) -> str:
    """The heading of the first section of a changelog in which something is written."""
    sections = re.findall(r"^## \[?([^\]\s]+).*\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    return next((heading for heading, text in sections if text.strip()), "")


def differences(tag: str, version: str, changelog: str) -> list[str]:
    """What does not agree with the tag, a line for each."""
    newest = newest_section(changelog)
    found = {"llm/_version.py": version, "The newest section of CHANGELOG.md": newest}
    return [f"{where} is {name!r}, the tag {tag!r}" for where, name in found.items() if name != tag]


def main(tag: str) -> int:
    """Print what differs; 1 where something does."""
    version: str = runpy.run_path(str(ROOT / "llm" / "_version.py"))["VERSION"]
    found = differences(tag, version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    print(*found, sep="\n", end="\n" if found else "")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
