"""Templates on the command line: using, saving, listing and changing them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from tests.helpers.content import registered, serving


@pytest.fixture(autouse=True)
def _content() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture
def templates(user_path: Path) -> Path:
    """The directory of templates."""
    folder = user_path / "templates"
    folder.mkdir()
    return folder


def run(*args: str, stdin: str = "", code: int = 0) -> Result:
    """The result of a command that ends with `code`."""
    result = CliRunner(env={"LLM_MODEL": "tell"}).invoke(cli, list(args), input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def told(*args: str, stdin: str = "") -> Any:
    """What the model was given."""
    return json.loads(run(*args, stdin=stdin).stdout)


@pytest.mark.parametrize(
    ("text", "stdin", "prompt", "messages"),
    [
        ("prompt: Sum up", "", "it", [["user", "Sum up\nit"]]),
        ("prompt: Sum up", "", None, [["user", "Sum up"]]),
        ("prompt: Sum up", "a\n", "it", [["user", "a\n Sum up\nit"]]),
        ("prompt: Say $input now", "a\n", "it", [["user", "Say a\n it now"]]),
        ("prompt: Say ${input} now", "", "it", [["user", "Say it now"]]),
        ("system: Be brief", "", "it", [["system", "Be brief"], ["user", "it"]]),
        ("system: On $input", "", "it", [["system", "On it"], ["user", "it"]]),
        ("Just $input", "", "text", [["user", "Just text"]]),
        ("prompt: costs $$5 and $", "", None, [["user", "costs $5 and $"]]),
    ],
)
def test_template_shapes_the_prompt(
    templates: Path, text: str, stdin: str, prompt: str | None, messages: list[list[str]]
) -> None:
    """Prompt and system of a template meet the typed text and standard input."""
    (templates / "t.yaml").write_text(text)
    given = told("-t", "t", *([prompt] if prompt else []), stdin=stdin)
    assert given["messages"] == messages


def test_templates_are_applied_from_left_to_right(templates: Path) -> None:
    """`-t a -t b` gives b(a(prompt)); the first system, model and option decide."""
    (templates / "a.yaml").write_text(
        "prompt: a($input)\nsystem: first\noptions: {n: 1}\ndefaults: {v: 7}"
    )
    (templates / "b.yaml").write_text("prompt: b($input, $v)\nsystem: second\noptions: {n: 2}")
    given = told("-t", "a", "-t", "b", "x")
    assert given["messages"] == [["system", "first"], ["user", "b(a(x), 7)"]]
    assert given["options"] == {"n": 1}


def test_command_line_has_the_last_word(templates: Path) -> None:
    """System prompt, options and parameters of the command line go before those of templates."""
    (templates / "t.yaml").write_text(
        "system: theirs\nprompt: $v\ndefaults: {v: theirs}\noptions: {n: 1}"
    )
    given = told("-t", "t", "-s", "mine", "-p", "v", "mine", "-o", "n", "2")
    assert given["messages"] == [["system", "mine"], ["user", "mine"]]
    assert given["options"] == {"n": 2}


def test_template_with_every_key_runs(templates: Path, tmp_path: Path) -> None:
    """Each key of a template has its effect."""
    (tmp_path / "f.txt").write_text("fragment")
    (tmp_path / "s.txt").write_text("rules")
    (tmp_path / "i.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    (templates / "all.yaml").write_text(f"""
name: ignored
model: tell
prompt: "Do $what with $input"
system: System
defaults: {{what: nothing}}
options: {{n: 3}}
extract: false
extract_last: false
schema_object: {{type: object}}
fragments: [{tmp_path}/f.txt]
system_fragments: [{tmp_path}/s.txt]
attachments: [{tmp_path}/i.png]
attachment_types: [{{type: text/plain, value: {tmp_path}/f.txt}}]
tools: [llm_version]
functions: |
    def shout(text: str) -> str:
        return text.upper()
""")
    result = CliRunner().invoke(cli, ["-t", "all", "it"])
    assert result.exit_code == 0, result.output
    given = json.loads(result.stdout)
    assert given == {
        "messages": [["system", "rules\n\nSystem"], ["user", "fragment\nDo nothing with it"]],
        "attachments": ["image/png", "text/plain"],
        "options": {"n": 3},
        "schema": {"type": "object"},
        "tools": ["shout", "llm_version"],
        "stream": True,
    }


def test_template_extract_flag_is_used(templates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`extract` prints only the code block; the flag of the command line wins."""
    from tests.helpers.content import Scripted

    (templates / "t.yaml").write_text("extract_last: true")
    answer = "a\n```\none\n```\nb\n```\ntwo\n```\n"
    Scripted.answers = [answer, answer]
    assert run("-m", "scripted", "-t", "t", "x").stdout == "two\n\n"
    assert run("-m", "scripted", "-t", "t", "-x", "x").stdout == "one\n\n"


def test_template_schema_wins_over_the_command_line(templates: Path) -> None:
    """The last template with a schema overrides `--schema`."""
    (templates / "t.yaml").write_text("schema_object: {type: object}")
    assert told("-t", "t", "--schema", "a, b", "x")["schema"] == {"type": "object"}


def test_missing_variables_are_named_before_stdin_is_read(templates: Path) -> None:
    """Variables without a value are an error that names them, braced ones too."""
    (templates / "t.yaml").write_text("prompt: $one ${two} $input")
    assert run("-t", "t", "x", code=1).stderr == "Error: Missing variables: one, two\n"


# A few lines that stand for billions of values.
BOMB = "  a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prompt: x\nbogus: 1\n", "line 2: bogus: unknown key"),
        ("prompt: x\nsytem: 1\n", "line 2: sytem: unknown key - did you mean system?"),
        ("prompt: x\noptions: 3\n", "line 2: options: Input should be a valid dictionary"),
        ("prompt: a\nattachments: [1]\n", "line 2: attachments.0: Input should be a valid string"),
        ("prompt: x\nattachment_types:\n- type: a\n", "line 3: attachment_types.0.value: Field"),
        ("prompt: [\n", "line 2, in 'prompt': not valid YAML"),
        ("prompt: x\ndefaults:\n  a: !!int ''\n", "line 3, in 'defaults': not valid YAML"),
        ("prompt: x\ndefaults:\n  a: 2001-99-99\n", "line 3, in 'defaults': not valid YAML"),
        ("", "line 1: empty"),
        ("- a\n", "line 1: a list, not a mapping"),
        ("5", "line 1: a int, not a mapping"),
        ("prompt: x\nschema_object: {a: 2001-01-01}\n", "line 2: schema_object: Object of type"),
        ("prompt: x\nschema_object: &a {a: *a}\n", "line 2: schema_object: refers to itself"),
        ("defaults:\n" + BOMB, "line 1: defaults: stands for more than 100000 values"),
        ("prompt: x\nfragments:\n" + "- [a]\n" * 12, "line 3: fragments.0: Input should be a"),
        ("prompt: x\nfragments:\n" + "- [a]\n" * 12, "\nand 2 more"),
        ("prompt: a\x07b\n", "line 1, in 'prompt': not valid YAML"),
        ("a: 1\n--- \nb: 2\n", "not valid YAML"),
        ("[" * 50000, "nest"),
        ("x: " + "{a: " * 300 + "}" * 300, "line 1, in 'x': nested too deeply (more than 200"),
        ("- " * 50000, "line 1: nested too deeply (more than 200 levels)"),
        ("\n".join(" " * n + "a:" for n in range(999)), "line 201, in 'a': nested too deeply"),
        ("1: x\n", "line 1: 1: Keys should be strings"),
    ],
)
def test_broken_template_names_file_line_and_key(templates: Path, text: str, expected: str) -> None:
    """What is wrong is told with its place, exit code 1; the list leaves the file out."""
    path = templates / "broken.yaml"
    path.write_text(text)
    error = run("-t", "broken", "x", code=1).stderr
    assert error.startswith(f"Error: {path}, ")
    assert expected in error
    assert run("templates").output == ""
    assert json.loads(run("templates", "list", "--json").output) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "prompt: x\nfunctions: |\n    def f():\n        return 1\n    def g(:\n",
            "line 5: functions: ",
        ),
        ("prompt: x\nfunctions: 'def g(:'\n", "line 2: functions: invalid syntax"),
        ("functions: \"x = '\\0'\"\n", "line 1: functions: "),
    ],
)
def test_template_with_broken_code_names_the_line(
    templates: Path, text: str, expected: str
) -> None:
    """Functions that are no Python are told before anything is sent, with their place."""
    path = templates / "broken.yaml"
    path.write_text(text)
    error = run("-t", "broken", "x", code=1).stderr
    assert error.startswith(f"Error: {path}, {expected}")


@pytest.mark.parametrize(
    "field", ["attachments: [gone]", "attachment_types: [{type: a/b, value: gone}]"]
)
def test_template_with_missing_attachment_is_named(templates: Path, field: str) -> None:
    """A file that a template attaches and that is not there: the template and the key are told."""
    (templates / "t.yaml").write_text(field)
    key = field.partition(":")[0]
    message = f"Error: Template t: {key}: File gone does not exist\n"
    assert run("-t", "t", "x", code=1).stderr == message


def test_template_that_is_no_text_is_reported(templates: Path) -> None:
    """Bytes that are no UTF-8 are an error with the line."""
    (templates / "t.yaml").write_bytes(b"a: b\nc: \xff\n")
    assert "line 2: not UTF-8 text" in run("-t", "t", "x", code=1).stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nosuch", "Invalid template: nosuch: there is no such file or template"),
        ("frenhc", "Invalid template: frenhc - did you mean french?"),
        ("zz:x", "Unknown template prefix: zz (loaders: tl)"),
        ("tl:none", "Could not load template tl:none: no none here"),
        ("tl:odd", "Could not load template tl:odd: its loader returned str"),
        ("x" * 5000, "Invalid template: xxx"),
    ],
)
def test_unknown_template_is_an_error(templates: Path, name: str, message: str) -> None:
    """A name that leads nowhere says so, with exit code 1."""
    (templates / "french.yaml").write_text("system: French")
    assert message in run("-t", name, "x", code=1).stderr


def test_template_from_path_and_url(tmp_path: Path) -> None:
    """`-t` takes any file, and a URL."""
    (tmp_path / "own.yaml").write_text("prompt: From a file, $input")
    given = told("-t", str(tmp_path / "own.yaml"), "x")
    assert given["messages"] == [["user", "From a file, x"]]
    with serving({"/t.yaml": ("text/plain", b"prompt: From the web, $input")}) as site:
        given = told("-t", f"{site.url}/t.yaml", "x")
        assert given["messages"] == [["user", "From the web, x"]]
        error = run("-t", f"{site.url}/gone", "x", code=1).stderr
    assert f"Could not load template {site.url}/gone: Could not fetch" in error


def test_options_of_template_model_are_shown(templates: Path) -> None:
    """`--options` with a template shows the options of the template's model."""
    (templates / "t.yaml").write_text("model: tell")
    result = CliRunner().invoke(cli, ["-t", "t", "--options"])
    assert "n: int" in result.output


# Saving


def test_save_writes_what_0_36_writes(templates: Path, tmp_path: Path) -> None:
    """Keys in their order, block style, indented by four; nothing is printed or sent."""
    for name in ("f.txt", "g.txt"):
        (tmp_path / name).write_text("text")
    (tmp_path / "i.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    arguments = ["p $name", "-s", "sys", "-p", "name", "5", "-x", "--xl", "--schema", "a,b int"]
    arguments += ["-f", "f.txt", "--sf", "g.txt", "-T", "llm_version", "-o", "n", "3"]
    arguments += ["--functions", "def f(): pass", "--functions", "def g(): pass"]
    arguments += ["-a", str(tmp_path / "i.png"), "--at", str(tmp_path / "f.txt"), "text/plain"]
    arguments += ["--at", "http://x/y", "image/png"]
    assert run("--save", "sv", *arguments).output == ""
    assert (
        (templates / "sv.yaml").read_text()
        == f"""\
model: tell
prompt: p $name
system: sys
defaults:
    name: '5'
extract: true
extract_last: true
schema_object:
    type: object
    properties:
        a:
            type: string
        b:
            type: integer
    required:
    - a
    - b
fragments:
- f.txt
system_fragments:
- g.txt
functions: 'def f(): pass


    def g(): pass'
tools:
- llm_version
attachments:
- {tmp_path}/i.png
attachment_types:
-   type: text/plain
    value: {tmp_path}/f.txt
-   type: image/png
    value: http://x/y
options:
    n: 3
"""
    )


@pytest.mark.parametrize(
    ("arguments", "parameters", "escaped"),
    [
        (["Search $PATH for it"], "this parameter, .*: \\$PATH\\.", "$$PATH"),
        (["Integrate $x^2$ over $t"], "these parameters, .*: \\$t, \\$x\\.", "$$t"),
        (["${HOME}/a"], "this parameter, .*: \\$HOME\\.", "$$HOME"),
        (["hi", "-s", "Speak $language"], "this parameter, .*: \\$language\\.", "$$language"),
        (["$input in $one and $two", "-p", "one", "1"], "this parameter, .*: \\$two\\.", "$$two"),
    ],
)
def test_save_says_what_became_a_parameter(
    templates: Path, arguments: list[str], parameters: str, escaped: str
) -> None:
    """A dollar that was meant as one would only be noticed at the next use."""
    told = run("--save", "sv", *arguments).stderr
    assert re.search(parameters, told), told
    assert told.rstrip().endswith(escaped)


@pytest.mark.parametrize(
    "arguments",
    [["for $input"], ["costs $5, $ 6 or $"], ["$$x"], ["$a", "-p", "a", "1"], ["-s", "x"]],
)
def test_save_without_new_parameters_is_silent(templates: Path, arguments: list[str]) -> None:
    """What has a value, or starts no name, needs no word."""
    assert run("--save", "sv", *arguments).output == ""


def test_save_takes_standard_input(templates: Path) -> None:
    """The text piped in is part of the prompt."""
    run("--save", "sv", "and more", stdin="piped")
    assert "prompt: piped and more" in (templates / "sv.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(["-t", "x"], "--template"), (["-c"], "--continue"), (["--cid", "x"], "--cid")],
)
def test_save_refuses_what_a_template_cannot_hold(arguments: list[str], option: str) -> None:
    """Templates and conversations are not kept in a template."""
    error = run("--save", "sv", *arguments, code=1).stderr
    assert f"--save cannot be used with {option}" in error


def test_save_checks_model_option_and_name(templates: Path) -> None:
    """An unknown model, a bad option and a name with a slash are refused; nothing is written."""
    assert "Unknown model: nope" in run("--save", "sv", "-m", "nope", "x", code=1).stderr
    assert (
        "n\n  Input should be a valid integer"
        in run("--save", "sv", "-o", "n", "many", "x", code=1).stderr
    )
    for name in ("a/b", ""):
        assert f"Invalid template name: {name!r}" in run("--save", name, "x", code=1).stderr
    assert list(templates.iterdir()) == []


# Commands


def test_list_shows_system_and_prompt(templates: Path) -> None:
    """One line each, sorted, names padded, newlines as spaces, cut at the width."""
    (templates / "b.yaml").write_text("system: S\nprompt: |\n  one\n  two\n")
    (templates / "long.yaml").write_text(f"prompt: {'x' * 200}\n")
    (templates / "a.yaml").write_text("defaults: {x: [1]}\n")
    result = CliRunner(env={"COLUMNS": "40"}).invoke(cli, ["templates"])
    lines = result.output.split("\n")
    assert lines[0] == "a    : "
    assert lines[1] == "b    : system: S prompt: one two "
    assert lines[2] == f"long : {'x' * 30}..."


def test_list_as_json_has_all_fields(templates: Path) -> None:
    """`--json` gives name and fields of each valid template."""
    (templates / "a.yaml").write_text("system: S\noptions: {n: 1}\n")
    rows = json.loads(run("templates", "list", "--json").output)
    assert rows == [{"name": "a", "system": "S", "options": {"n": 1}}]


def test_show_prints_sorted_yaml(templates: Path) -> None:
    """`show` prints every field that is set, the name too, and an empty line."""
    (templates / "a.yaml").write_text("system: S\ndefaults: {x: 1}\n")
    assert run("templates", "show", "a").output == "defaults:\n    x: 1\nname: a\nsystem: S\n\n"
    assert "Invalid template: b" in run("templates", "show", "b", code=1).stderr


def test_edit_creates_and_checks(
    templates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The editor gets a new file with `prompt: `; what is broken afterwards is reported."""
    monkeypatch.setenv("EDITOR", "cat")
    run("templates", "edit", "new")
    assert (templates / "new.yaml").read_text() == "prompt: "
    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\necho 'x: [' > \"$1\"\n")
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    assert "not valid YAML" in run("templates", "edit", "new", code=1).stderr


def test_remove_and_rename(templates: Path) -> None:
    """Both work on existing templates, and never overwrite."""
    (templates / "a.yaml").write_text("A")
    (templates / "b.yaml").write_text("B")
    error = run("templates", "rename", "a", "b", code=1).stderr
    assert "There is a template b already" in error
    run("templates", "rename", "a", "c")
    assert (templates / "c.yaml").read_text() == "A"
    run("templates", "remove", "b")
    assert sorted(path.name for path in templates.iterdir()) == ["c.yaml"]
    assert "Template not found: b" in run("templates", "remove", "b", code=1).stderr


def test_path_and_loaders(templates: Path) -> None:
    """The path of the directory, and the loaders with their docstrings."""
    assert run("templates", "path").output == f"{templates}\n"
    assert run("templates", "loaders").output == "tl:\n  Templates of the tests.\n"


def test_no_loaders_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a plugin there are none."""
    monkeypatch.setattr(llm, "get_template_loaders", dict)
    assert run("templates", "loaders").output == "No template loaders found\n"


# In a chat


def test_chat_applies_the_template_to_each_message(templates: Path) -> None:
    """Prompt, defaults and options count for each message; fragments go with the first."""
    (templates / "t.yaml").write_text(
        "prompt: say $input $v\nsystem: S\ndefaults: {v: 1}\noptions: {n: 2}"
    )
    result = run("chat", "-t", "t", "-p", "v", "9", stdin="a\nb\nexit\n")
    answers = [json.loads(line[2:]) for line in result.stdout.splitlines() if line[:3] == "> {"]
    assert answers[0]["messages"] == [["system", "S"], ["user", "say a 9"]]
    assert answers[1]["messages"][-1] == ["user", "say b 9"]
    assert [message[0] for message in answers[1]["messages"]].count("system") == 1
    assert answers[1]["options"] == {"n": 2}


# From elsewhere


def test_plain_template_from_elsewhere_needs_no_trust() -> None:
    """Texts are harmless: nobody is asked."""
    assert told("-t", "tl:plain", "x")["messages"] == [["user", "About cats: x"]]


def test_greedy_template_is_refused_off_a_terminal(user_path: Path) -> None:
    """Without a terminal and `--trust`, what it wants is shown and nothing is sent."""
    result = run("-t", "tl:greedy", "x", code=1)
    assert result.stdout == ""
    for wish in ("tl:greedy", "fragment: '/etc/hostname'", "tool: 'llm_version'", "def shout()"):
        assert wish in result.stderr
    assert "--trust" in result.stderr
    assert not (user_path / "logs.db").exists()
    assert not (user_path / "trusted_templates.json").exists()


def test_trust_is_remembered_by_content(user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--trust` lets it run, and once is enough until the template changes."""
    from tests.helpers.content import TEMPLATES

    own = user_path / "own.txt"
    own.write_text("mine")
    greedy = {**TEMPLATES["greedy"], "fragments": [str(own)]}
    monkeypatch.setitem(TEMPLATES, "greedy", greedy)
    given = told("-t", "tl:greedy", "x", "--trust")
    assert sorted(given["tools"]) == ["llm_version", "shout"]
    assert given["messages"] == [["user", "mine\nx\nx"]]
    assert told("-t", "tl:greedy", "x") == given
    monkeypatch.setitem(TEMPLATES, "greedy", {**greedy, "prompt": "changed"})
    run("-t", "tl:greedy", "x", code=1)


@pytest.mark.parametrize("where", ["tl:command", "own"])
def test_no_template_runs_a_command(templates: Path, where: str) -> None:
    """`cmd:` in a template is refused, whoever wrote it and whatever is trusted."""
    (templates / "own.yaml").write_text("system_fragments: ['cmd:echo hi']")
    error = run("-t", where, "x", "--trust", code=1).stderr
    assert "templates cannot run commands" in error
