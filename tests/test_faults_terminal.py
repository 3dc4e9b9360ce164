"""What survives when something goes wrong: the list of `bench/faults.py`, with real processes."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "llm"]
CROWD = 10
KILLS = 25


def _bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("faults", ROOT / "bench" / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faults = _bench()


@pytest.fixture(scope="module")
def server() -> Iterator[object]:
    """The server whose answers go wrong."""
    running = faults.Server()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def _checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", "/tmp")


@pytest.mark.parametrize("name", list(faults.FAULTS))
def test_fault_is_survived(server: object, name: str) -> None:
    """What was printed is in the log, no file is damaged, and the exit code tells the truth."""
    assert faults.attempt(COMMAND, server, name, CROWD) is None


def test_kills_lose_nothing(server: object) -> None:
    """Processes killed at random moments leave a whole database that holds every word."""
    moments: Counter[str] = Counter()
    assert faults.kills(COMMAND, server, KILLS, moments=moments) == 0
    assert moments.total() == KILLS
    assert min(moments[moment] for moment in ("migrating", "streaming", "committing")) > 0
