"""The tests that try anything, with their full number of examples: templates, schemas, streams."""

from __future__ import annotations

import subprocess
import sys

from _measure import arguments
from _setup import CHECKOUT

# The marker is set by hypothesis itself, on each test that it makes the examples of.
COMMAND = ["-m", "pytest", "-n", "2", "-m", "hypothesis", "--hypothesis-profile=full", "tests"]


def main() -> int:
    """Run them with the interpreter of this script, which needs the packages of the tests."""
    for _ in range(arguments(__doc__, runs=1).runs):
        done = subprocess.run([sys.executable, *COMMAND], cwd=CHECKOUT)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
