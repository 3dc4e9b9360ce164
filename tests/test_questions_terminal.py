"""Questions about what somebody else wrote, at a terminal: they cannot be faked."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm
from llm._version import VERSION
from llm.prompting import approval
from llm.prompting.request import ToolSettings
from llm.prompting.trust import check_template
from llm.templates import Template
from llm.terminal import asking
from llm.text import visible
from tests.helpers.terminal import RUN_LLM, at_terminal

QUESTION = "Use it, and trust this version of it from now on? [y/N]: "
FAKE = f"a\n{QUESTION}y\r\x1b[2J\u202eb\u2028c"


def foreign(**fields: object) -> Template:
    """A template from elsewhere."""
    template = Template.model_validate({"name": "t", **fields})
    template.set_origin("url", f"https://example.com/{FAKE}")
    return template


def shown(template: Template, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is shown of a template before the question, which is answered with no."""
    texts: list[str] = []

    def confirm(question: str, about: str = "") -> bool:
        texts.append(about)
        return False

    monkeypatch.setattr("llm.prompting.trust.confirm", confirm)
    with pytest.raises(Exception, match="you declined"):
        check_template(template, trust=False)
    return texts[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"fragments": [FAKE]},
        {"system_fragments": [FAKE]},
        {"attachments": [FAKE]},
        {"attachment_types": [{"type": FAKE, "value": FAKE}]},
        {"tools": [FAKE]},
    ],
)
def test_values_stand_on_one_line(
    fields: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a template names has one line, in which nothing is executed."""
    first, *others = shown(foreign(**fields), monkeypatch).split("\n")
    assert first.startswith("Template 'https://example.com/a\\nUse it")
    assert first.endswith("comes from elsewhere and wants to use:")
    assert len(others) == 1
    assert others[0].startswith("  ")
    assert (first + others[0]).isprintable()


@pytest.mark.parametrize(
    ("code", "count"),
    [("pass", 1), ("\n" * 200 + "evil()", 201), ("def f():\n    pass", 2), ("a\t=1\n\n\n#", 4)],
)
def test_code_is_shown_whole(code: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line is there with its number, and so is how many there are."""
    _, head, *lines = shown(foreign(functions=code), monkeypatch).split("\n")
    assert head == f"  functions, {count} line{'' if count == 1 else 's'}:"
    assert len(lines) == count
    for number, (line, source) in enumerate(zip(lines, code.split("\n"), strict=True), 1):
        assert line.strip() == f"{number} | {source.expandtabs(4)}".strip()


def test_code_in_a_file_is_part_of_what_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`functions: PATH` shows the code of the file; the file changed is another template."""
    path = tmp_path / "tools.py"
    path.write_text("def f(): return 1")
    text = shown(foreign(functions=str(path)), monkeypatch)
    assert f"functions of {str(path)!r}, 1 line:\n    1 | def f(): return 1" in text
    monkeypatch.setattr("llm.prompting.trust.confirm", lambda question, about="": True)
    check_template(foreign(functions=str(path)), trust=False)
    monkeypatch.setattr("llm.prompting.trust.confirm", lambda question, about="": None)
    again = foreign(functions=str(path))
    check_template(again, trust=False)
    path.write_text("def f(): return 2")
    # What was shown is what runs.
    assert again.functions == "def f(): return 1\n"
    with pytest.raises(Exception, match="There is no terminal to ask on"):
        check_template(foreign(functions=str(path)), trust=False)


@pytest.mark.parametrize("text", [" " * 100 + QUESTION, "\u6f22" * 300, "x" * 5000])
def test_lines_that_are_too_wide_go_on_indented(text: str) -> None:
    """Blanks cannot push a text to the beginning of a row, whatever their width."""
    rows = list(asking._folded(f"  {text}", 80))
    assert len(rows) > 1
    assert all(row.startswith("      ") for row in rows[1:])
    assert all(len(row) * (1 if row.isascii() else 2) <= 80 for row in rows)
    assert "".join([rows[0], *(row[6:] for row in rows[1:])]) == f"  {text}"


@given(st.text())
def test_any_value_stands_on_one_line(value: str) -> None:
    """Whatever a value is, it is shown in quotes, on one line, and nothing in it is executed."""
    shown = asking.quoted(value)
    assert shown.isprintable()
    assert shown[0] == shown[-1]
    assert ast.literal_eval(shown) == value


@given(st.text(), st.integers(20, 200))
def test_any_code_is_shown_whole(code: str, columns: int) -> None:
    """Every row of the screen begins with blanks, and nothing of the code is missing."""
    text = visible(asking.numbered(code))
    rows = [row for line in text.split("\n") for row in asking._folded(line, columns)]
    assert all(row.startswith("    ") for row in rows)
    lines = code.replace("\r\n", "\n").expandtabs(4).split("\n")
    assert text.count("\n") == len(code.expandtabs(4).split("\n")) - 1 == len(lines) - 1


@pytest.fixture
def imported(tmp_path: Path, user_path: Path) -> str:
    """The id of an imported conversation that names a local file."""
    from click.testing import CliRunner

    from llm.cli import cli

    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    part = {"type": "attachment", "attachment": {"type": "text/plain", "path": str(secret)}}
    shape = {
        "format": "llm-conversation",
        "version": 1,
        "id": "01aaaaaaaaaaaaaaaaaaaaaaaa",
        "name": FAKE,
        "model": "echo",
        "turns": [],
        "tip": 1,
        "messages": [
            {"role": "user", "parts": [part]},
            {"role": "assistant", "parts": [{"type": "text", "text": "ok"}]},
        ],
    }
    (tmp_path / "import").write_text(json.dumps(shape))
    result = CliRunner().invoke(cli, ["conversations", "import", str(tmp_path / "import")])
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_file_of_an_import_is_asked_about(imported: str, answer: str, code: int) -> None:
    """The person sees the name of the file; yes is remembered, no ends the command."""
    with at_terminal("--cid", imported, "-m", "echo", "go on") as (process, terminal):
        text = terminal.wait_for(f"\n{QUESTION}")
        assert text.startswith("Conversation 'a\\nUse it")
        assert "  attachment: '/" in text
        terminal.type(f"{answer}\n")
        terminal.rest()
        assert process.wait(40) == code
    if answer == "y":
        with at_terminal("--cid", imported, "-m", "echo", "go on") as (process, terminal):
            assert QUESTION not in terminal.rest()


@pytest.mark.parametrize(("answer", "result"), [("y", VERSION), ("n", "User cancelled")])
@pytest.mark.parametrize("chat", [False, True])
def test_call_in_another_database_is_asked_about(
    tmp_path: Path, user_path: Path, answer: str, result: str, chat: bool
) -> None:
    """The person sees where it comes from; rules that were stored before do not answer for them."""
    asked = ["-m", "scripted", "-T", "llm_version", '[[["llm_version", {}]]]', "--cl", "1"]
    subprocess.run([*RUN_LLM, *asked], stdin=subprocess.DEVNULL, capture_output=True)
    shutil.copy(user_path / "logs.db", tmp_path / "other.db")
    (user_path / "tools.yaml").write_text("ask: never\nallow: [llm_version]\n")
    arguments = ["-c", "-d", str(tmp_path / "other.db"), *([] if chat else ["go on"])]
    with at_terminal(*(["chat"] if chat else []), *arguments, TERM="dumb") as (_, terminal):
        if chat:
            terminal.wait_for("> ")
            terminal.type("go on\r")
        shown = terminal.wait_for("Approve tool call? [y/N]: ")
        assert "This call is not from your prompts: its database was not made here" in shown
        assert "Tool call: llm_version({})\n" in shown
        terminal.type(f"{answer}\n")
        terminal.wait_for(result)


@pytest.mark.parametrize("name", ["*", "ll?", "[a-z]*", "two words", "a(b)", "x\ny"])
@pytest.mark.parametrize("answer", ["a", "f"])
def test_answer_about_an_odd_name_is_not_remembered(
    user_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, answer: str
) -> None:
    """A name that is a pattern would allow other tools, and one that is no rule break the file."""

    def answering() -> Iterator[asking.Terminal]:
        yield asking.Terminal(lambda: f"{answer}\n", io.StringIO())

    monkeypatch.setattr(approval, "open_terminal", contextlib.contextmanager(answering))
    gate = approval.Gate(ToolSettings(ask="always"), None)
    tool = llm.Tool.function(lambda: "done", name=name)
    gate.check(tool, llm.ToolCall(name, {}, "c1"))
    assert not (user_path / "tools.yaml").exists()
    assert approval.call_text(llm.ToolCall(name, {"a": "x\ny"})).isprintable()


@pytest.mark.parametrize("pager", ["cat", "/no/such/pager", "false"])
def test_long_question_goes_through_the_pager(tmp_path: Path, pager: str) -> None:
    """What is longer than the screen is paged on the terminal, and shown as it is without one."""
    template = tmp_path / "long.py"
    template.write_text("import llm\n")
    code = "\n" * 200 + "def evil(): pass"
    plugin = tmp_path / "site"
    plugin.mkdir()
    (plugin / "llm_long.py").write_text(
        "import llm\n@llm.hookimpl\ndef register_template_loaders(register):\n"
        f"    register('long', lambda rest: llm.Template(name=rest, functions={code!r}))\n"
    )
    info = plugin / "llm_long-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-long\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[llm]\nlong = llm_long\n")
    paths = os.pathsep.join(filter(None, [str(plugin), os.environ.get("PYTHONPATH")]))
    if pager == "cat":
        pager = f"tee {tmp_path / 'paged'}"
    arguments = ("-m", "echo", "-t", "long:x", "hi")
    with at_terminal(*arguments, PAGER=pager, PYTHONPATH=paths) as (process, terminal):
        text = terminal.wait_for(QUESTION)
        assert "201 | def evil(): pass\n" in text
        assert "functions, 201 lines:\n" in text
        terminal.type("n\n")
        terminal.rest()
        assert process.wait(40) == 1
    if pager.startswith("tee"):
        assert (tmp_path / "paged").read_text().count("\n") == 203
