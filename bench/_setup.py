"""The two environments that every benchmark compares: `llm` 0.36 and this checkout.

`python3 bench/_setup.py` makes them where they are missing and renews ours after a change of
the code; `--fresh` makes both anew. The benchmark scripts call `environments()` and so
need no preparation.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
CHECKOUT = BENCH.parent
REFERENCE = "llm==0.36"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with one of the two programs."""

    name: str
    folder: Path

    @property
    def scripts(self) -> Path:
        """The folder of the commands."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> str:
        """The interpreter of the environment."""
        return str(self.scripts / "python")

    @property
    def llm(self) -> str:
        """The command `llm` of the environment."""
        return str(self.scripts / "llm")


THEIRS = Environment("0.36", BENCH / ".venv-036")
OURS = Environment("ours", BENCH / ".venv-ours")
# With plugins, and one that has a single plugin.
THEIRS_PLUGINS = Environment("0.36", BENCH / ".venv-036-plugins")
OURS_PLUGINS = Environment("ours", BENCH / ".venv-ours-plugins")
OURS_ONE = Environment("ours", BENCH / ".venv-ours-one")


def _source_stamp() -> str:
    digest = hashlib.sha256()
    sources = [CHECKOUT / "setup.py", *sorted((CHECKOUT / "llm").rglob("*.py"))]
    for path in sources:
        digest.update(str(path.relative_to(CHECKOUT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _pip(environment: Environment, *arguments: str) -> None:
    if not environment.folder.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment.folder)], check=True)
    command = [environment.python, "-m", "pip", "install", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")


def _copy_of_sources() -> Path:
    """Copy what is installed into a folder of its own, so that the checkout gets no build files."""
    target = BENCH / ".work" / "source"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, target / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "llm", target / "llm", ignore=ignored)
    return target


def _install_ours(ours: Environment = OURS) -> None:
    stamp = ours.folder / "source.sha256"
    wanted = _source_stamp()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    first = not ours.folder.exists()
    source = str(_copy_of_sources())
    _pip(ours, source)
    if not first:
        _pip(ours, "--no-deps", "--force-reinstall", source)
    stamp.write_text(wanted)


def install(environment: Environment, package: str) -> None:
    """Install a package into an environment where it is missing."""
    probe = [environment.python, "-c", f"import {package}"]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        _pip(environment, package)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let two benchmarks that start together make the environments only once."""
    import fcntl

    (BENCH / ".work").mkdir(exist_ok=True)
    with open(BENCH / ".work" / "setup.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def environments(*, fresh: bool = False) -> tuple[Environment, Environment]:
    """Return the environment of 0.36 and ours, made or renewed where needed.

    The first call installs packages and takes a minute; later ones only compare a hash of
    the sources.
    """
    with _one_at_a_time():
        if fresh:
            shutil.rmtree(THEIRS.folder, ignore_errors=True)
            shutil.rmtree(OURS.folder, ignore_errors=True)
        if not (THEIRS.folder / "installed").exists():
            _pip(THEIRS, REFERENCE)
            (THEIRS.folder / "installed").write_text(REFERENCE)
        _install_ours()
    return THEIRS, OURS


def environments_with_plugins(
    plugins: tuple[str, ...], fake: Path
) -> tuple[Environment, Environment, Environment]:
    """Return those of 0.36 and ours with the same releases of plugins, and ours with one.

    Args:
        plugins: Distributions of the package index.
        fake: The project of one more plugin, which all three have, the third it alone.
    """
    with _one_at_a_time():
        if not (THEIRS_PLUGINS.folder / "installed").exists():
            _pip(THEIRS_PLUGINS, REFERENCE, *plugins, str(fake))
            (THEIRS_PLUGINS.folder / "installed").write_text("\n".join(plugins))
        _install_ours(OURS_PLUGINS)
        _install_ours(OURS_ONE)
        for ours, wanted in ((OURS_PLUGINS, _releases(plugins)), (OURS_ONE, [])):
            if not (ours.folder / "installed").exists():
                _pip(ours, *wanted, str(fake))
                (ours.folder / "installed").write_text("\n".join(wanted))
    return THEIRS_PLUGINS, OURS_PLUGINS, OURS_ONE


def _releases(plugins: tuple[str, ...]) -> list[str]:
    """The requirements for the releases that 0.36 has."""
    command = [THEIRS_PLUGINS.python, "-m", "pip", "freeze"]
    frozen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in frozen.splitlines() if line.partition("==")[0] in plugins]


if __name__ == "__main__":
    for made in environments(fresh="--fresh" in sys.argv[1:]):
        version = subprocess.run(
            [made.llm, "--version"], capture_output=True, text=True, check=True
        )
        print(f"{made.name}: {version.stdout.strip()} in {made.folder}")
