"""The `llm` command with the models of `tests.helpers.models` installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from llm.cli import cli
from tests.helpers.models import registered

if __name__ == "__main__":
    with registered():
        cli()
