"""Processor time of commands with ten plugins installed, and which plugins they import.

Interleaved with 0.36, both with the same ten plugins, in environments of their own. One more plugin
has a model that answers by itself.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from _measure import Figure, alternate, arguments, child_environment, cpu, report, show, user_paths
from _setup import BENCH, Environment, environments_with_plugins

PLUGINS = (
    *("llm-anthropic", "llm-gemini", "llm-mistral", "llm-ollama", "llm-groq", "llm-openrouter"),
    *("llm-cmd", "llm-jq", "llm-fragments-github", "llm-tools-sqlite"),
)
LIVE = {"llm_ollama"}
QUICK = (["--version"], ["logs", "path"], ["keys", "path"])
LISTINGS = (["--help"], ["models"], ["logs", "-n", "1"])
QUICK_LIMIT, LISTING_LIMIT, ONE_LIMIT, CHECK_LIMIT_MS = 0.03, 0.05, 1.15, 3
# A change of a folder that is younger is not trusted yet.
SETTLED_S = 2.5

FAKE = """
import llm

class Fake(llm.Model):
    model_id = "fake"

    def execute(self, prompt, stream, response, conversation):
        yield "hi yourself"

@llm.hookimpl
def register_models(register):
    register(Fake())
"""
SETUP = """
from setuptools import setup
setup(name="llm-bench-fake", version="1", py_modules=["llm_bench_fake"],
      entry_points={"llm": ["bench_fake = llm_bench_fake"]})
"""
SHOW_PLUGINS = """
import atexit, sys
sys.argv = ["llm", *sys.argv[1:]]
sys.path.pop(0)
atexit.register(lambda: print(
    "imported", *{name.split(".")[0] for name in sys.modules if name.startswith("llm_")},
    file=sys.stderr))
from llm.cli import cli
cli()
"""
CHECK_INDEX = """
import sys, time
sys.path.pop(0)
import json
from llm.plugin_index import records
start = time.perf_counter()
index = records.read_index()
assert index.holds()
print((time.perf_counter() - start) * 1000)
"""


def make_fake() -> Path:
    """Write the project of the plugin that answers by itself."""
    folder = BENCH / ".work" / "fake"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "llm_bench_fake.py").write_text(FAKE)
    (folder / "setup.py").write_text(SETUP)
    return folder


def make_broken(folder: Path) -> None:
    """Put three plugins into a folder that cannot be imported."""
    for number in range(3):
        name = f"llm_broken{number}"
        metadata = folder / f"{name}-1.dist-info"
        metadata.mkdir(parents=True)
        (folder / f"{name}.py").write_text("import nothing_of_that_name\n")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(f"[llm]\nbroken{number} = {name}\n")
        (metadata / "RECORD").write_text(f"{name}.py,,\n")
    # Python would make it, and change the folder by that.
    (folder / "__pycache__").mkdir()
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (1_000_000_000, 1_000_000_000))


def run(environment: Environment, user: Path, *arguments: str, **more: str) -> tuple[str, set[str]]:
    """Run a command once; what it printed, and the plugins that it imported."""
    done = subprocess.run(
        [environment.python, "-c", SHOW_PLUGINS, *arguments],
        env=child_environment(user, **more),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=user,
    )
    *errors, imported = done.stderr.splitlines()
    return done.stdout + "".join(f"stderr: {line}\n" for line in errors), set(imported.split()[1:])


def check(name: str, found: object, wanted: object) -> Figure:
    """A figure that is kept if what was found is what was wanted."""
    if found != wanted:
        print(f"{name}: {found!r} in place of {wanted!r}")
    return Figure(name, 0.0 if found == wanted else 9.0, 1.0)


def measure_index(environment: Environment, user: Path, runs: int) -> float:
    """The median time of reading and checking the index, in ms."""
    command = [environment.python, "-c", CHECK_INDEX]
    times = [
        float(subprocess.check_output(command, env=child_environment(user), cwd=user))
        for _ in range(runs)
    ]
    return statistics.median(times)


def main() -> int:
    """Measure every row and print the ratios."""
    runs = arguments(__doc__, runs=7).runs
    theirs, ours, one = environments_with_plugins(PLUGINS, make_fake())
    figures = []
    with user_paths(theirs, ours, Environment("one", one.folder)) as users:
        time.sleep(SETTLED_S)
        for environment, user in zip((theirs, ours, one), users, strict=True):
            cpu([environment.llm, "-m", "fake", "hi"], user)
        cpu([ours.llm, "--help"], users[1])
        for command in (*QUICK, *LISTINGS):
            name = " ".join(["llm", *command])
            live = LIVE if command == ["models"] else set()
            figures.append(check(f"{name}: imported", run(ours, users[1], *command)[1], live))
            a, b = alternate(
                partial(cpu, [theirs.llm, *command], users[0]),
                partial(cpu, [ours.llm, *command], users[1]),
                runs,
            )
            show(name, a, b)
            if not live:
                limit = QUICK_LIMIT if command in QUICK else LISTING_LIMIT
                figures.append(Figure(name, b / a, limit))
        figures += without_live(theirs, ours, users, runs)
        figures += one_model(ours, one, users, runs)
        checking = measure_index(ours, users[1], runs)
        print(f"checking the index           {checking:9.2f} ms")
        figures.append(Figure("checking the index, ms", checking, CHECK_LIMIT_MS))
        figures += broken(ours, users[1])
    return report(figures)


def without_live(
    theirs: Environment, ours: Environment, users: list[Path], runs: int
) -> list[Figure]:
    """`llm models` where the plugin is gone that asks its server."""
    for environment in (theirs, ours):
        command = [environment.python, "-m", "pip", "uninstall", "-q", "-y", "llm-ollama"]
        subprocess.run(command, check=True)
    try:
        time.sleep(SETTLED_S)
        # The index that there is says when it was made; another one may be made after a minute.
        for path in users[1].glob("cache/plugins-*.json"):
            path.unlink()
        cpu([ours.llm, "models"], users[1])
        name = "llm models, without the live one"
        imported = run(ours, users[1], "models")[1]
        a, b = alternate(
            partial(cpu, [theirs.llm, "models"], users[0]),
            partial(cpu, [ours.llm, "models"], users[1]),
            runs,
        )
    finally:
        for environment in (theirs, ours):
            (environment.folder / "installed").unlink()
        environments_with_plugins(PLUGINS, make_fake())
        for path in users[1].glob("cache/plugins-*.json"):
            path.unlink()
        time.sleep(SETTLED_S)
        cpu([ours.llm, "models"], users[1])
    show(name, a, b)
    return [check(f"{name}: imported", imported, set()), Figure(name, b / a, LISTING_LIMIT)]


def one_model(ours: Environment, one: Environment, users: list[Path], runs: int) -> list[Figure]:
    """A prompt to the model of one light plugin, with and without the other ten."""
    command = ["-m", "fake", "hi"]
    imported = run(ours, users[1], *command)[1]
    cpu([one.llm, *command], users[2])
    alone, among = alternate(
        partial(cpu, [one.llm, *command], users[2]),
        partial(cpu, [ours.llm, *command], users[1]),
        2 * runs,
    )
    print(
        f"llm -m fake hi               alone {alone * 1000:9.2f} ms  among {among * 1000:9.2f} ms"
    )
    return [
        check("llm -m fake hi: imported", imported, {"llm_bench_fake"}),
        Figure("llm -m fake hi, among ten and alone", among / alone, ONE_LIMIT),
    ]


def broken(ours: Environment, user: Path) -> list[Figure]:
    """Three broken plugins cost a line each, once, and nothing else."""
    folder = user / "broken"
    make_broken(folder)
    expected = {name: run(ours, user, name) for name in ("--help", "models")}
    lines = run(ours, user, "--help", PYTHONPATH=str(folder))[0].splitlines()
    told = [line for line in lines if line.startswith("stderr: Plugin llm_broken")]
    figures = [check("three broken: lines", len(told), 3)]
    for name, found in expected.items():
        again = run(ours, user, name, PYTHONPATH=str(folder))
        figures.append(check(f"llm {name}, three broken: printed, imported", again, found))
    return figures


if __name__ == "__main__":
    sys.exit(main())
