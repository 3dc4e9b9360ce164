"""What every test gets: a user directory of its own and a clean environment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.helpers.release_036 import Release

# The tests that try anything: few examples in the suite, all with --hypothesis-profile=full.
# How quick the machine is at the moment is nothing that they are about.
_TIMELESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", _TIMELESS, max_examples=200)
settings.register_profile("full", _TIMELESS, max_examples=5000)
settings.load_profile("suite")


def _heed_signals() -> None:
    """Undo what runs a suite in the background: the processes that it starts would ignore them."""
    default: dict[str, Any] = {
        "SIGINT": signal.default_int_handler,
        "SIGQUIT": signal.SIG_DFL,
        "SIGHUP": signal.SIG_DFL,
    }
    for name, handler in default.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


_heed_signals()

# These need pseudo-terminals, forks and signals of Unix.
collect_ignore_glob = (
    ["test_*_terminal.py", "test_tool_kills.py"] if sys.platform == "win32" else []
)

_FROM_OUTSIDE = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "XDG_CONFIG_HOME", "XDG_STATE_HOME")


@pytest.fixture(autouse=True)
def user_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user directory of the test, which exists; no variable of the caller's gets through."""
    for name in [name for name in os.environ if name.startswith("LLM_")] + list(_FROM_OUTSIDE):
        monkeypatch.delenv(name, raising=False)
    # Keys of one test may be ordinary words in the next.
    for name in ("_forms", "_escaped", "_beginnings"):
        monkeypatch.setattr(f"llm.text.secrets.{name}", {})
    path = tmp_path / "user"
    path.mkdir()
    monkeypatch.setenv("LLM_USER_PATH", str(path))
    # Journals may lie there.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return path


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """A running 0.36."""
    from tests.helpers.release_036 import release_036

    with release_036(tmp_path_factory.mktemp("plugin")) as release:
        yield release


@pytest.fixture
def other(release: Release, user_path: Path) -> Iterator[Release]:
    """0.36, on the user directory of the test; the same plugin is there for us."""
    from tests.helpers.databases import plugin_of_the_data

    release.user_path = user_path
    with plugin_of_the_data():
        yield release


@pytest.fixture
def plugin() -> Iterator[Callable[..., ModuleType]]:
    """Registers functions marked as hooks as a plugin, until the test ends.

    Called with the plugin's name and, by keyword, the functions by their hook.
    """
    from llm.plugins import manager

    names = []

    def register(name: str, **hooks: object) -> ModuleType:
        module = ModuleType(name)
        for hook, function in hooks.items():
            setattr(module, hook, function)
        manager().register(module, name=name)
        names.append(name)
        return module

    yield register
    for name in names:
        manager().unregister(name=name)


@pytest.fixture
def fresh_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin manager as at the start of a process: nothing is found or loaded yet."""
    import llm
    from llm import plugins

    # The package keeps the manager it was asked for; it has to be the one that stays.
    assert llm.pm is plugins.manager()
    fresh: dict[str, object] = {
        "_loaded": False,
        "_manager": None,
        "_origins": {},
        "_faults": {},
        "_index": None,
        "_some": set(),
        "_earlier": None,
    }
    for name, value in fresh.items():
        monkeypatch.setattr(plugins, name, value)


@pytest.fixture
def install_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Path]]:
    """Installs plugins, each a module and the metadata that pip would write.

    Called with the distribution's name, the source of the module and by keyword `entry_points`,
    the lines of its section `[llm]`. The folder, which is returned, is on `sys.path` and on that
    of child processes.
    """
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    before = set(sys.modules)

    def install(name: str, source: str, *, entry_points: str = "", version: str = "1.5") -> Path:
        module = name.replace("-", "_")
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
        metadata = folder / f"{module}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        listing = entry_points or f"{module.removeprefix('llm_')} = {module}"
        (metadata / "entry_points.txt").write_text(f"[llm]\n{listing}\n")
        files = (f"{module}.py", *(f"{metadata.name}/{file.name}" for file in metadata.iterdir()))
        (metadata / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        return folder

    yield install
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(folder):
            del sys.modules[name]
