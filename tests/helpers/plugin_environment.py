"""Environments that hold this checkout and plugins as the package index gives them.

An environment sees the packages of the interpreter that runs the tests, `llm` among them; only the
plugins and what they need beside that are installed into it. It is made once and kept in the user's
cache directory, for every checkout.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

_MARK = "installed"
_SITES = "PLUGIN_ENVIRONMENT_SITES"
# `addsitedir` also reads the .pth files there: one of them may be what makes `llm` importable.
_PTH = (
    "import os, site; "
    f"list(map(site.addsitedir, filter(None, os.environ.get({_SITES!r}, '').split(os.pathsep))))\n"
)


@dataclass(frozen=True)
class PluginEnvironment:
    """An environment with this checkout and plugins.

    Args:
        python: Its interpreter.
        loaded: The distributions of the plugins that take part; without it all do.
    """

    python: Path
    loaded: tuple[str, ...] | None = None

    def only(self, *loaded: str) -> PluginEnvironment:
        """The same, where just these plugins take part."""
        return PluginEnvironment(self.python, loaded)

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment variables for its processes: those of the test, and `more`.

        A user directory, when the test has one, is among them.
        """
        found = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if self.loaded is not None:
            found["LLM_LOAD_PLUGINS"] = ",".join(self.loaded)
        return {**found, "PYTHONIOENCODING": "utf-8", _SITES: _sites(), **(more or {})}

    def llm(
        self,
        *args: str,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """What `llm` with these arguments did; without `stdin` it reads nothing."""
        return self.run("-m", "llm", *args, stdin=stdin, env=env, cwd=cwd)

    def run(
        self,
        *args: str,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """What its interpreter with these arguments did."""
        return subprocess.run(
            [str(self.python), *args],
            input=stdin or "",
            env=self.variables(env),
            cwd=cwd,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
        )


def plugin_environment(*requirements: str) -> PluginEnvironment:
    """An environment with this checkout and these distributions of the package index.

    Args:
        requirements: What pip is asked for, such as `llm-tools-sqlite`. The same ones give the
            same environment.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-tests"
    folder = cache / f"plugins-{_digest(requirements)}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{folder.name}.lock"):
        if not (folder / _MARK).exists():
            shutil.rmtree(folder, ignore_errors=True)
            new_environment(folder, *requirements)
            (folder / _MARK).write_text("\n".join(requirements))
    return _environment_in(folder)


def _environment_in(folder: Path) -> PluginEnvironment:
    return PluginEnvironment(folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def new_environment(folder: Path, *requirements: str) -> PluginEnvironment:
    """As `plugin_environment`, one in a folder that is made for it, and may be changed."""
    environment = _environment_in(folder)
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    tell = "import sysconfig; print(sysconfig.get_path('purelib'))"
    purelib = Path(_run([str(environment.python), "-c", tell]).strip())
    (purelib / "site_of_the_tests.pth").write_text(_PTH)
    # The pip of the tests runs there; it counts the `llm` of the tests as installed.
    if requirements:
        _run(
            [str(environment.python), "-m", "pip", "install", "-q", *requirements],
            env=environment.variables(),
        )
    return environment


def _digest(requirements: tuple[str, ...]) -> str:
    asked = f"{sys.version_info[:2]} {sorted(requirements)} {_PTH}"
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


def _sites() -> str:
    paths = sysconfig.get_paths()
    return os.pathsep.join(dict.fromkeys([paths["purelib"], paths["platlib"]]))


def _run(command: list[str], env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=env)
    assert done.returncode == 0, f"{command} failed:\n{done.stderr}"
    return done.stdout
