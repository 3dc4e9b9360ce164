"""The tests that try anything, with their full number of examples: templates, schemas, streams."""

from __future__ import annotations

import subprocess
import sys

from _measure import arguments
from _setup import CHECKOUT

# The marker is set by hypothesis itself, on each test that it makes the examples of.
# Others start processes or files for each example: there the suite's number has to do.
STORIES = (
    *("content_fuzz", "fragments_listing", "logs_formats", "long_json", "openai_fuzz"),
    *("openai_responses", "openai_sse", "recording", "terminal_safety", "truncation"),
)
FILES = [f"tests/test_{story}.py" for story in STORIES]
COMMAND = ["-m", "pytest", "-n", "2", "-m", "hypothesis", "--hypothesis-profile=full", *FILES]


def main() -> int:
    """Run them with the interpreter of this script, which needs the packages of the tests."""
    for _ in range(arguments(__doc__, runs=1).runs):
        done = subprocess.run([sys.executable, *COMMAND], cwd=CHECKOUT)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
