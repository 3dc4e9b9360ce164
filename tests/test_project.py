"""The project around the code: its README, its checks, its packages and its words."""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import llm
from llm._version import VERSION

ROOT = Path(__file__).parents[1]
PACKAGE = Path(llm.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCES = sorted(PACKAGE.rglob("*.py"))
# Importable beside `llm.__all__`: plugins and scripts use them.
FURTHER_NAMES = """
DEFAULT_MODEL EmbeddingModel EmbeddingModelWithAliases ModelWithAliases UnknownModelError
cosine_similarity decode encode get_async_model_aliases get_async_models
get_default_embedding_model get_default_model get_embedding_model get_embedding_model_aliases
get_embedding_models get_embedding_models_with_aliases get_fragment_loaders get_model_aliases
get_models get_models_with_aliases get_plugins get_template_loaders get_tools load_keys
load_plugins pm remove_alias set_alias set_default_embedding_model set_default_model watch_file
"""
SKIPPED_FOLDERS = {
    ".git",
    "_build",
    "__pycache__",
    "build",
    "dist",
    "data",
    "node_modules",
    ".work",
}
TEXT_SUFFIXES = {".py", ".pyi", ".md", ".toml", ".yml", ".yaml", ".in", ".txt", ".jinja", ""}


def texts() -> Iterator[tuple[str, str]]:
    """Yield path and text of every file that people wrote."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in SKIPPED_FOLDERS
            and not name.endswith((".egg-info", "_cache", ".hypothesis"))
            if not name.startswith(".venv")
        ]
        for name in files:
            path = Path(folder, name)
            written = name not in (".git", "LICENSE") and not name.startswith(".coverage")
            if path.suffix in TEXT_SUFFIXES and written:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def forbidden() -> dict[str, re.Pattern[str]]:
    """Return what no file may hold; put together here, so that this file does not hold it."""
    unfinished = "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X\\b", "HA" + "CK\\b"])
    folders = "|".join(["wo" + "rk/", "tm" + "p/w/", "ro" + "ot/"])
    return {
        "unfinished work": re.compile(rf"\b(?:{unfinished})|\bfor n" + "ow\\b"),
        "a folder of one machine": re.compile(rf"(?:^|[\s\"'(=:`])/(?:{folders})"),
        "a numbered ticket": re.compile(r"\bissues?" + r" #?\d+\b", re.IGNORECASE),
    }


@pytest.mark.parametrize("what", sorted(forbidden()))
def test_project_files_are_free_of(what: str) -> None:
    """No file speaks of unfinished work, of a machine's folders, or of tickets by number."""
    pattern = forbidden()[what]
    found = [
        f"{name}: {line.strip()}"
        for name, text in texts()
        for line in text.splitlines()
        if pattern.search(line)
    ]
    assert found == []


def test_project_public_names_resolve() -> None:
    """Each name of `llm.__all__`, and each further one, can be had from the package."""
    assert len(llm.__all__) == len(set(llm.__all__)) == 37
    missing = [name for name in [*llm.__all__, *FURTHER_NAMES.split()] if not hasattr(llm, name)]
    assert missing == []
    assert set(llm.__all__) <= set(dir(llm))


def test_project_public_names_know_their_home() -> None:
    """A class had through the package is the class of its home module."""
    import llm.models
    from llm.models.base import Model
    from llm.parts import Message

    assert llm.Model is llm.models.Model is Model
    assert llm.Message is Message


def public_definitions(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the module and its public classes, functions and methods."""
    yield tree
    pending: list[ast.AST] = [tree]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name.startswith("_"):
                    continue
                yield node
                if isinstance(node, ast.ClassDef):
                    pending.append(node)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_project_public_things_have_docstrings(path: Path) -> None:
    """Every module, and every public class and function in it, says what the caller gets."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [
        getattr(node, "name", path.name)
        for node in public_definitions(tree)
        if not ast.get_docstring(node) and not is_overload(node)  # type: ignore[arg-type]
    ]
    assert silent == []


def is_overload(node: ast.AST) -> bool:
    """Return whether the function only states a signature, or sets a documented property."""
    decorators = [ast.unparse(found) for found in getattr(node, "decorator_list", [])]
    return any(name == "overload" or name.endswith(".setter") for name in decorators)


def test_project_modules_stay_readable() -> None:
    """No module has more than five hundred lines, so each can be read in one go."""
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES
    }
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def test_project_readme_has_two_commands_for_a_fresh_machine() -> None:
    """One line installs and ends in an answer, the other installs and runs the tests."""
    lines = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(lines) == 2
    assert "llm local install" in lines[0]
    assert lines[1].endswith(".venv/bin/python -m pytest -n 2")


def test_project_readme_shows_ten_things() -> None:
    """The list of what people do most has ten entries, each with a line to run."""
    section = README.partition("## The ten things people do most")[2].partition("\n## ")[0]
    assert re.findall(r"^(\d+)\. ", section, re.MULTILINE) == [
        str(number) for number in range(1, 11)
    ]
    assert section.count("```bash") == 10


def test_project_readme_names_files_that_exist() -> None:
    """Each path of the project that the README names is there."""
    named = re.findall(r"`((?:docs|bench|tests)/[\w./-]*|[A-Z]+\.md)`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_project_version_is_everywhere_the_same() -> None:
    """The package, the changelog and the command agree on the version."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[?([^\]\s]+)", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == VERSION == "0.50.0"
    shown = subprocess.run(
        [sys.executable, "-m", "llm", "--version"], capture_output=True, text=True, timeout=60
    )
    assert shown.stdout == f"llm, version {VERSION}\n"


def test_project_workflow_covers_systems_and_versions() -> None:
    """The tests run on three systems and on every supported version of Python."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert matrix["python-version"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]


def test_project_changelog_has_the_sections_of_its_format() -> None:
    """What is not released yet stands on top; changes are sorted as Keep a Changelog says."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


RELEASED = "# Changelog\n\n## Unreleased\n\n## 1.2.0\n\n### Added\n\n- This.\n\n## 1.1.0\n\nThat.\n"


@pytest.mark.parametrize(
    ("tag", "version", "changelog", "differs"),
    [
        ("1.2.0", "1.2.0", RELEASED, []),
        ("1.2.0", "1.2.0", RELEASED.replace("## 1.2.0", "## [1.2.0] - 2026-01-02"), []),
        ("v1.2.0", "1.2.0", RELEASED, ["llm/_version.py", "The newest section"]),
        ("1.2.0", "1.1.0", RELEASED, ["llm/_version.py"]),
        ("1.1.0", "1.1.0", RELEASED, ["The newest section"]),
        ("1.2.0", "1.2.0", RELEASED.replace("## 1.2.0\n", ""), ["The newest section"]),
        ("1.2.0", "1.2.0", "", ["The newest section"]),
    ],
)
def test_project_release_has_one_name(
    tag: str, version: str, changelog: str, differs: list[str]
) -> None:
    """A tag that is not the version, or not the newest section that says something, is refused."""
    release = runpy.run_path(str(ROOT / ".ci" / "release.py"))
    lines = release["differences"](tag, version, changelog)
    assert [line.startswith(start) for line, start in zip(lines, differs, strict=True)] == [
        True for _ in differs
    ]


def test_project_hooks_need_nothing_from_elsewhere() -> None:
    """The hooks before a commit run what the environment has."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    modules = {hook["entry"].split()[2] for hook in repository["hooks"]}
    assert modules == {"ruff", "mypy", "pytest"}


@pytest.mark.parametrize("name", ["test", "docs", "publish"])
def test_project_workflow_is_valid(name: str) -> None:
    """Each workflow is YAML with jobs that have steps or call another workflow."""
    workflow = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]
    assert all("steps" in job or "uses" in job for job in workflow["jobs"].values())


def test_project_check_script_parses() -> None:
    """The script that checks everything is a program that bash understands."""
    script = ROOT / ".ci" / "run"
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    if os.name != "nt":
        assert os.access(script, os.X_OK)
        done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
        assert done.stderr == ""


# `house.py` measures the source, not the speed.
BENCHMARKS = sorted(
    path.stem
    for path in (ROOT / "bench").glob("*.py")
    if not path.name.startswith("_") and path.stem != "house"
)


def test_project_benchmarks_are_documented() -> None:
    """Each benchmark script has a line in the table of results, and each line a script."""
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\| `(\w+)\.py` \|", page)) == set(BENCHMARKS)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_project_benchmark_explains_itself(name: str) -> None:
    """Each benchmark script starts, and says what it measures; quality is no matter of runs."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert ("--runs" in done.stdout) is (name != "embedding_quality")
