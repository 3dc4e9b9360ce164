"""`llm logs list` shows the files of every earlier release as release 0.36 does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from llm.cli import cli
from tests.helpers.logged import EARLIER, expected, fake_plugin, use_log

WITH_TEXT = ["v0.26", "v0.26-continued-by-0.36", "v0.36"]


@pytest.fixture(autouse=True)
def fakeplug() -> Iterator[ModuleType]:
    """The models of the databases are installed."""
    from llm.plugins import pm

    module = fake_plugin()
    pm.register(module, name="fakeplug")
    yield module
    pm.unregister(name="fakeplug")


def logs(*args: str) -> str:
    """The output of `llm logs` with these arguments."""
    result = CliRunner().invoke(cli, ["logs", *args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("version", EARLIER)
def test_json_earlier_release(user_path: Path, version: str) -> None:
    """Every row of a file of an earlier release comes out with the same keys and values."""
    use_log(user_path, version)
    rows = json.loads(logs("-n", "0", "--json"))
    known = json.loads(expected(version, "expected.json"))
    assert rows == known
    assert [list(row) for row in rows] == [list(row) for row in known]


@pytest.mark.parametrize("version", WITH_TEXT)
def test_markdown_earlier_release(user_path: Path, version: str) -> None:
    """The Markdown of a file of an earlier release is the same to the byte."""
    use_log(user_path, version)
    assert logs("-n", "0") == expected(version, "expected.md")


@pytest.mark.parametrize("version", WITH_TEXT)
def test_short_earlier_release(user_path: Path, version: str) -> None:
    """The short YAML of a file of an earlier release is the same to the byte."""
    use_log(user_path, version)
    assert logs("-n", "0", "--short") == expected(version, "expected.short.yaml")


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (["-u"], "usage.expected.md"),
        (["-e"], "expanded.expected.md"),
        (["-t"], "truncated.expected.md"),
        (["-t", "--json"], "truncated.expected.json"),
        (["-s", "-u"], "usage.expected.short.yaml"),
        (["--json"], "expected.json"),
    ],
)
def test_output_unusual_rows(user_path: Path, args: list[str], kind: str) -> None:
    """Fences in fences, several tool messages, empty answers and odd tools look as they did."""
    use_log(user_path, "v0.36-unusual")
    assert logs("-n", "0", *args).rstrip("\n") == expected("v0.36-unusual", kind).rstrip("\n")


def filter_cases() -> Iterator[Any]:
    """The recorded filters, but for those by fragment."""
    for version in WITH_TEXT:
        for case in json.loads(expected(version, "filters.expected.json")):
            if "-f" not in case["args"]:
                name = " ".join([version, *case["args"]])
                yield pytest.param(version, case["args"], case["ids"], id=name)


@pytest.mark.parametrize(("version", "args", "ids"), list(filter_cases()))
def test_filters_earlier_release(
    user_path: Path, version: str, args: list[str], ids: list[str]
) -> None:
    """A filter finds the same rows in the same order as release 0.36."""
    use_log(user_path, version)
    assert [row["id"] for row in json.loads(logs(*args, "--json"))] == ids


def test_payload_plugin_missing(user_path: Path, fakeplug: ModuleType) -> None:
    """A payload that only an uninstalled model could complete is null; the row is there."""
    from llm.plugins import pm

    use_log(user_path, "v0.36")
    pm.unregister(name="fakeplug")
    try:
        rows = json.loads(logs("-n", "0", "--json"))
    finally:
        pm.register(fakeplug, name="fakeplug")
    assert len(rows) == 41
    assert rows[0]["response_json"] is None
    assert rows[0]["response"] == "Echo(1): First plain prompt"


def test_old_file_directory_read_only(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an older release that cannot be migrated is shown from a copy in memory."""
    from llm.errors import LogError
    from llm.logs.file import db

    def refuse(*args: object, **kwargs: object) -> None:
        raise LogError("read-only")

    path = use_log(user_path, "v0.26")
    before = path.read_bytes()
    monkeypatch.setattr(db, "open_log", refuse)
    assert logs("-n", "0") == expected("v0.26", "expected.md")
    assert path.read_bytes() == before


def test_build_rows_order(user_path: Path) -> None:
    """`build_rows` gives the rows in the order asked for and leaves out unknown ids."""
    from llm.logs.file.db import open_for_reading
    from llm.logs.read.rows import build_rows

    conn = open_for_reading(use_log(user_path, "v0.36"))
    known = json.loads(expected("v0.36", "expected.json"))
    rows = build_rows(conn, [known[5]["id"], "nothing", known[2]["id"]])
    conn.close()
    assert rows == [known[5], known[2]]
