"""The loaders of fragments that are always there, `.gitignore`, and questions at the terminal."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import llm
from llm.cli import cli
from llm.errors import LLMError
from llm.material.gitignore import IgnoreRules
from llm.material.loaders import load_command_output, load_folder
from llm.terminal import asking as terminal
from tests.helpers.content import TEMPLATES, registered


@pytest.fixture(autouse=True)
def _content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with registered():
        yield


def write(files: dict[str, str | bytes]) -> None:
    """Write files below the working directory."""
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def names(rest: str) -> list[str]:
    """The names under which `dir:` gives files, in order."""
    return [str(fragment).split("\n")[0] for fragment in load_folder(rest)]


class Screen(io.StringIO):
    """A terminal that is only written to."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> Screen:
    """A terminal at which the user gives that answer."""
    screen, keys = Screen(), Screen(answer)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("sys.stdin", keys)
    return screen


def test_folder_gives_its_text_files(capsys: pytest.CaptureFixture[str]) -> None:
    """All text files below, sorted, with their name; binary and empty ones are skipped."""
    write({"b.py": "b = 1\n", "sub/a.txt": "caf\xe9", "c.bin": b"\0\1", "empty.txt": ""})
    fragments = load_folder(".")
    assert fragments[0] == "b.py\n---\nb = 1\n---\n"
    assert fragments[1] == "sub/a.txt\n---\ncaf\xe9\n---\n"
    assert [getattr(fragment, "source", None) for fragment in fragments] == [
        str(Path("b.py").resolve()),
        str(Path("sub/a.txt").resolve()),
    ]
    assert capsys.readouterr().err == "dir:.: 2 files, 11 bytes\n"


def test_folder_of_a_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    """Wildcards choose among the files that are not ignored; a single file may be named."""
    write({"src/a.py": "a", "src/x/b.py": "b", "src/c.txt": "c", "src/.gitignore": "x/\n"})
    assert names("src/**/*.py") == ["src/a.py"]
    assert names("src/c.txt") == ["src/c.txt"]
    assert names("src/*.t?t") == ["src/c.txt"]
    assert names("") == ["src/.gitignore", "src/a.py", "src/c.txt"]
    assert "dir:src/c.txt: 1 file, 1 bytes" in capsys.readouterr().err


def test_wildcards_stand_for_no_hidden_file() -> None:
    """As in a shell: what begins with a dot is asked for with a dot."""
    write({".env": "KEY", ".hidden/a.txt": "a", "b.txt": "b", "x/.c.txt": "c"})
    assert names("*") == names("**/*.txt") == ["b.txt"]
    assert names(".e*") == [".env"]
    assert names(".hidden/*") == [".hidden/a.txt"]
    assert names("x/.*") == ["x/.c.txt"]


def test_links_are_not_followed_in_circles() -> None:
    """A folder that links to itself gives its files once; a link to nothing gives none."""
    write({"a.txt": "a", "sub/b.txt": "b"})
    for name in ("sub/again", "sub/more"):
        Path(name).symlink_to(Path.cwd(), target_is_directory=True)
    for name, target in (("loop", "loop"), ("gone", "nowhere"), ("link.txt", "a.txt")):
        Path(name).symlink_to(target)
    assert names(".") == names("**/*") == ["a.txt", "link.txt", "sub/b.txt"]


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("nosuch", "there is no folder 'nosuch'"),
        ("no/such/*.py", "no text files found in 'no/such/\\*.py'"),
        (".", "no text files found in '.'"),
    ],
)
def test_folder_without_text_is_an_error(rest: str, message: str) -> None:
    """Nothing to send is an error that names what was asked for."""
    with pytest.raises(LLMError, match=message):
        load_folder(rest)


def test_folder_outside_keeps_its_path(tmp_path: Path) -> None:
    """Files outside of the working directory are named as they were asked for."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "f.txt").write_text("f")
    assert names(str(tmp_path / "other")) == [f"{tmp_path}/other/f.txt"]


def test_big_folder_is_refused_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 1 MB is not sent where nobody can be asked."""
    write({"big.txt": "x" * 1_200_000})
    with pytest.raises(LLMError, match=r"dir:\.: 1 file, 1\.2 MB is more than 1\.0 MB"):
        load_folder(".")


def test_big_folder_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the user decides."""
    write({"big.txt": "x" * 1_200_000, "small.txt": "x" * 2000})
    screen = answering(monkeypatch, "y\n")
    assert len(load_folder(".")) == 2
    assert "'dir:.': 2 files, 1.2 MB. Send all of it? [y/N]: " in screen.getvalue()
    answering(monkeypatch, "\n")
    with pytest.raises(LLMError, match="declined"):
        load_folder(".")
    assert "dir:small.txt: 1 file, 2.0 kB" in _note_of(monkeypatch, "small.txt")


def _note_of(monkeypatch: pytest.MonkeyPatch, rest: str) -> str:
    screen = answering(monkeypatch, "")
    load_folder(rest)
    return screen.getvalue()


def test_unreadable_places_are_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody may read is told and left out."""
    write({"a.txt": "a", "b.txt": "b", "locked/c.txt": "c"})
    real_scan = os.scandir
    real_open: Callable[..., Any] = open

    def refusing_open(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path).endswith("b.txt"):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **kwargs)

    def refusing_scan(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real_scan(path)

    monkeypatch.setattr("builtins.open", refusing_open)
    monkeypatch.setattr("os.scandir", refusing_scan)
    assert names(".") == ["a.txt"]
    shown = capsys.readouterr().err
    assert "b.txt is skipped: Permission denied" in shown
    assert "locked is skipped: Permission denied" in shown


def test_rules_agree_with_git(tmp_path: Path) -> None:
    """What `.gitignore` files leave out is what git leaves out."""
    if shutil.which("git") is None:
        pytest.fail("git is needed to compare with")
    rules = (
        "*.log\n!keep.log\n/top.txt\nbuild/\ndocs/*.md\n**/cache\na/**/z.txt\n# comment\n\n"
        "sp\\ ace.txt\n[abc].x\n[!d].y\ntrail.txt   \nfoo/**\n\\!bang\nq?.t\n"
        "[[:upper:]_]*.up\n[^[:digit:]].no\n[\\]&&-].sq\n"
    )
    files = [
        *("x.log", "keep.log", "top.txt", "sub/top.txt", "build/a", "sub/build/b", "docs/a.md"),
        *("docs/x/b.md", "cache/c", "sub/cache", "a/z.txt", "a/b/c/z.txt", "sp ace.txt", "a.x"),
        *("e.x", "d.y", "e.y", "trail.txt", "foo/bar", "foo/x/y", "!bang", "q1.t", "q.t"),
        *("Ab.up", "_b.up", "ab.up", "1.no", "a.no", "].sq", "&.sq", "a.sq", "all/a", "all/b/c"),
        *("sub/x.log", "sub/only.txt", "sub/deep/only.txt", "sub/keep2.txt"),
    ]
    write({name: "x" for name in files})
    write({".gitignore": rules, "sub/.gitignore": "only.txt\n!x.log\n[\n"})
    write({"all/.gitignore": "/**\n!*/\n"})
    subprocess.run(["git", "init", "-q"], check=True)
    shown = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert names(".") == sorted(filter(None, shown.stdout.split("\0")))
    below = [name for name in shown.stdout.split("\0") if name.startswith("sub/")]
    assert names("sub") == sorted(below)


def test_rules_above_the_repository_do_not_count(tmp_path: Path) -> None:
    """A `.gitignore` above the root of a repository is none of its business."""
    (tmp_path / ".gitignore").write_text("*\n")
    write({"a.txt": "a"})
    Path(".git").mkdir()
    assert names(".") == ["a.txt"]
    assert not IgnoreRules.for_folder(Path.cwd()).ignores(Path.cwd() / "a.txt", is_folder=False)


# cmd:


def test_command_output_is_a_fragment(capsys: pytest.CaptureFixture[str]) -> None:
    """What the command prints; its messages go to stderr, and it reads nothing."""
    fragment = load_command_output("echo out; echo err >&2; cat")
    assert fragment == "out\n"
    assert fragment.source == "cmd:echo out; echo err >&2; cat"
    assert capsys.readouterr().err == "err\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo no >&2; exit 3", "code 3: no"),
        ("exit 1", "without a message"),
        (" ", "no command is given"),
    ],
)
def test_failing_command_is_an_error(command: str, reason: str) -> None:
    """A command that fails is told with its code and message."""
    with pytest.raises(LLMError, match=reason):
        load_command_output(command)


def test_both_loaders_from_the_command_line() -> None:
    """`-f dir:` and `-f cmd:` go into the prompt; both may be named again as `logs -f`."""
    write({"a.txt": "a"})
    result = CliRunner().invoke(cli, ["-m", "tell", "-f", "dir:.", "-f", "cmd:echo hi", "x"])
    assert json.loads(result.stdout)["messages"] == [["user", "a.txt\n---\na\n---\n\nhi\n\nx"]]


def test_plugin_keeps_its_prefix(plugin: Callable[..., ModuleType]) -> None:
    """A plugin that registers `dir` and `cmd` keeps them; ours are `llm-dir` and `llm-cmd`."""

    @llm.hookimpl
    def register_fragment_loaders(register: Callable[..., None]) -> None:
        register("dir", len)
        register("cmd", len)

    plugin("owner", register_fragment_loaders=register_fragment_loaders)
    loaders: dict[str, object] = dict(llm.get_fragment_loaders())
    assert loaders["dir"] is len
    assert loaders["llm-dir"] is load_folder
    assert loaders["llm-cmd"] is load_command_output
    result = CliRunner().invoke(cli, ["-m", "tell", "-f", "llm-cmd:echo hi", "x"])
    assert json.loads(result.stdout)["messages"] == [["user", "hi\n\nx"]]


# Links


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a secret, beside the one that is sent."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "secret.txt").write_text("secret")
    (folder / "sub" / "more.txt").write_text("more secret")
    return folder


def _by_a_second_link(link: Path, outside: Path) -> None:
    link.symlink_to("second")
    link.with_name("second").symlink_to(outside / "secret.txt")


OUT: dict[str, Callable[[Path, Path], object]] = {
    "absolute": lambda link, outside: link.symlink_to(outside / "secret.txt"),
    "relative": lambda link, outside: link.symlink_to(os.path.relpath(outside, link.parent)),
    "to a folder": lambda link, outside: link.symlink_to(outside),
    "to a link": _by_a_second_link,
    "through itself": lambda link, outside: link.symlink_to(
        os.path.join("..", Path.cwd().name, "..", outside.name, "secret.txt")
    ),
    "to the root": lambda link, outside: link.symlink_to("/"),
    "to a device": lambda link, outside: link.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("how", OUT)
@pytest.mark.parametrize("rest", [".", "*", "**/*"])
def test_links_out_of_the_folder_are_left_out(
    outside: Path, capsys: pytest.CaptureFixture[str], how: str, rest: str
) -> None:
    """What a link leads to is not in the folder; how many were left out is told."""
    write({"own.txt": "own"})
    OUT[how](Path("link.txt"), outside)
    assert load_folder(rest) == ["own.txt\n---\nown\n---\n"]
    count = "2 links" if how == "to a link" else "1 link"
    assert capsys.readouterr().err == f"dir:{rest}: 1 file, 3 bytes ({count} out of it left out)\n"


def test_links_within_the_folder_are_followed(capsys: pytest.CaptureFixture[str]) -> None:
    """A link to a file that is sent too is one more name of it."""
    write({"own.txt": "own", "sub/deep.txt": "deep"})
    Path("a.txt").symlink_to("sub/deep.txt")
    Path("sub/b.txt").symlink_to(Path("own.txt").resolve())
    assert names(".") == ["a.txt", "own.txt", "sub/b.txt", "sub/deep.txt"]


def test_links_to_what_is_left_out_are_not_followed() -> None:
    """A file that is ignored, or git's own, does not come in by another name."""
    write({".gitignore": ".env\nbuild/\n", ".env": "KEY=1", "build/out": "x", "own": "own"})
    write({".git/config": "token", "sub/.gitignore": "local", "sub/local": "x"})
    for number, target in enumerate([".env", "build/out", ".git/config", "sub/local"]):
        Path(f"link{number}").symlink_to(target)
    assert names(".") == [".gitignore", "own", "sub/.gitignore"]


def test_folder_behind_a_link_that_was_named_is_sent(tmp_path: Path) -> None:
    """The folder itself may be reached by a link: the person has named it."""
    write({"real/own.txt": "own"})
    Path("link").symlink_to("real")
    assert load_folder("link") == ["link/own.txt\n---\nown\n---\n"]
    assert load_folder("link/*.txt") == ["link/own.txt\n---\nown\n---\n"]


def test_folder_with_nothing_but_links_says_so(outside: Path) -> None:
    """Where nothing is left the reason is told."""
    Path("link.txt").symlink_to(outside / "secret.txt")
    with pytest.raises(LLMError, match="1 link out of it left out"):
        load_folder(".")


def test_rules_behind_a_link_are_not_read() -> None:
    """As git does; a link could lead to something without an end."""
    write({"own.txt": "own"})
    Path(".gitignore").symlink_to("/dev/zero")
    assert load_folder(".") == ["own.txt\n---\nown\n---\n"]


# Questions


def test_question_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard error is no terminal, or nobody can answer, there is no answer."""
    assert terminal.confirm("really?") is None
    monkeypatch.setattr("sys.stderr", Screen())
    monkeypatch.setattr(terminal, "_TERMINAL", "/nonexistent/tty")
    assert terminal.confirm("really?") is None
    monkeypatch.setattr(terminal, "_TERMINAL", os.devnull)
    assert terminal.confirm("really?") is None


def test_question_is_asked_on_the_terminal_behind_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard input is a pipe the answer comes from the terminal of the process."""
    master, slave = os.openpty()
    try:
        monkeypatch.setattr("sys.stderr", screen := Screen())
        monkeypatch.setattr("sys.stdin", io.StringIO("the prompt"))
        monkeypatch.setattr(terminal, "_TERMINAL", os.ttyname(slave))
        os.write(master, b"yes\n")
        assert terminal.confirm("a\x1b[2Jb?") is True
        assert screen.getvalue() == "a\u241b[2Jb? [y/N]: "
    finally:
        os.close(master)
        os.close(slave)


def test_trust_is_asked_for_and_remembered(
    monkeypatch: pytest.MonkeyPatch, user_path: Path
) -> None:
    """On a terminal the wishes are shown; no is no, yes is remembered."""
    from llm.prompting.trust import check_template
    from llm.templates import load_template

    screen = answering(monkeypatch, "n\n")
    with pytest.raises(LLMError, match="you declined"):
        check_template(load_template("tl:greedy"), trust=False)
    assert "functions, 1 line:\n    1 | def shout(): return 'HI'\n" in screen.getvalue()
    answering(monkeypatch, "y\n")
    check_template(load_template("tl:greedy"), trust=False)
    silent = answering(monkeypatch, "")
    template = load_template("tl:greedy")
    check_template(template, trust=False)
    assert silent.getvalue() == ""
    assert template._functions_is_trusted
    stored = json.loads((user_path / "trusted_templates.json").read_text())
    assert list(stored.values()) == ["tl:greedy"]


def test_attachments_of_templates_need_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attachments of both kinds and local system fragments are wishes, addresses are not."""
    from llm.prompting.trust import check_template
    from llm.templates import load_template

    wishes = {
        "attachments": ["a.png"],
        "attachment_types": [{"type": "text/plain", "value": "b"}],
        "system_fragments": ["secrets.txt"],
    }
    monkeypatch.setitem(TEMPLATES, "files", wishes)
    with pytest.raises(LLMError) as caught:
        check_template(load_template("tl:files"), trust=False)
    for wish in (
        *("attachment: 'a.png'\n", "attachment: 'b' as 'text/plain'\n"),
        "fragment: 'secrets.txt'\n",
    ):
        assert wish in str(caught.value)
    check_template(load_template("tl:web"), trust=False)
