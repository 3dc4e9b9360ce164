"""The root of the command line, its groups, and what becomes of exceptions."""

from __future__ import annotations

import errno
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

import llm
import llm.cli
from llm import plugins
from llm.commands._errors import error_text, reported
from llm.commands._group import Lazy, LazyGroup
from llm.errors import InvalidInput, ModelError, NotFound

from .helpers.terminal import LIMIT_SECONDS, RUN_LLM, at_terminal


def invoke(command: click.Command, *arguments: str, **keywords: Any) -> Result:
    return CliRunner().invoke(command, arguments, **keywords)


# The root group as at the start of a process, each time it is called.
Root: TypeAlias = Callable[[], Any]


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Root]:
    """A root group as at the start of a process; called again after plugins were registered."""
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")

    def reload() -> LazyGroup:
        group: LazyGroup = importlib.reload(llm.cli).cli
        return group

    yield reload
    reload()


# The root group


def test_version() -> None:
    """The version is printed in the form that scripts read."""
    result = invoke(llm.cli.cli, "--version")
    assert result.output == "llm, version 0.50.0\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_everything(root: Root, flag: str) -> None:
    """Both help options work on every command, and every command has a line of help."""
    pending: list[tuple[click.Command, list[str]]] = [(root(), [])]
    while pending:
        command, path = pending.pop()
        result = invoke(llm.cli.cli, *path, flag)
        assert result.exit_code == 0, (path, result.output)
        assert "Usage: " in result.output
        if isinstance(command, click.Group):
            pending += [(child, [*path, name]) for name, child in command.commands.items()]
        assert command.get_short_help_str(), path


@pytest.mark.parametrize("width", ["40", "80"])
def test_help_summaries_are_whole(
    root: Root, width: str, plugin: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group, also one of a plugin, lists the whole first sentence of every command."""

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        @cli.group()
        def guests() -> None:
            "Commands of a plugin."

        @guests.command()
        def greet() -> None:
            "Greet everybody who is there and everybody who comes later, in their own language."

    plugin("test_guests", register_commands=register_commands)
    monkeypatch.setenv("COLUMNS", width)
    pending: list[tuple[click.Group, list[str]]] = [(root(), [])]
    while pending:
        group, path = pending.pop()
        listed = invoke(llm.cli.cli, *path, "--help").output.partition("Commands:\n")[2]
        for name, child in group.commands.items():
            sentence = child.get_short_help_str(1000)
            if not child.hidden:
                assert sentence in " ".join(listed.split()), (path, name)
            if isinstance(child, click.Group):
                pending.append((child, [*path, name]))


@pytest.mark.parametrize("word", ["--verison", "--versoin", "--Version", "--ver", "--verison=1"])
def test_option_of_the_root_is_suggested(word: str) -> None:
    """A slip in an option of the root, which a prompt does not know, is told as one."""
    result = invoke(llm.cli.cli, word)
    assert result.exit_code == 2
    assert "'--version'" in result.stderr


def test_option_of_the_root_is_not_suggested_behind_a_prompt() -> None:
    """There it would not be understood."""
    assert "--version" not in invoke(llm.cli.cli, "hi", "--verison").stderr


def test_help_lines_are_those_of_the_commands(root: Root) -> None:
    """The lines in the root's help, kept in a table, are the commands' own."""
    command = root()
    table = {name: entry.help for name, entry in command._lazy.items()}
    assert set(table) >= {"prompt", "chat", "keys", "logs", "models", "aliases", "plugins"}
    assert table == {name: command.commands[name].get_short_help_str(200) for name in table}


def test_help_marks_the_default_command(root: Root) -> None:
    """The default command is first and has a star."""
    lines = invoke(root(), "--help").output.partition("Commands:\n")[2].splitlines()
    assert lines[0].split()[0] == "prompt*"
    names = [line.split()[0] for line in lines[1:] if not line.startswith("   ")]
    assert names == sorted(names)


def test_table_of_default_plugins(root: Root) -> None:
    """What the root's table has for default plugins is what they register themselves."""
    command = root()
    for name in type(command).provides:
        registered = click.Group("g")
        importlib.import_module(name).register_commands(registered)
        for child, found in registered.commands.items():
            assert command.commands[child] is found
    plugins.call_each("register_commands", cli=command)
    assert set(command.commands) == set(llm.cli._COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], []),
        (["hello"], ["hello"]),
        (["keyz"], ["keyz"]),
        (["-x", "hello"], ["-x", "hello"]),
        (["-shello"], ["-shello"]),
        (["-", "b"], ["-", "b"]),
        (["--", "keys"], ["keys"]),
        (["prompt", "keys"], ["keys"]),
    ],
)
def test_anything_else_is_a_prompt(root: Root, arguments: list[str], expected: list[str]) -> None:
    """What does not begin with a command goes to the prompt as it is, never guessed at."""
    seen: list[str] = []

    settings = {"ignore_unknown_options": True, "help_option_names": []}

    @click.command(context_settings=settings)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def prompt(words: tuple[str, ...]) -> None:
        seen.extend(words)

    command = root()
    command.add_command(prompt)
    assert invoke(command, *arguments).exit_code == 0
    assert seen == expected


def test_commands_is_a_dict_of_commands(root: Root) -> None:
    """All commands are in the dict, imported; what is taken out does not come back."""
    command = root()
    assert all(isinstance(child, click.Command) for child in command.commands.values())
    assert command.commands.get("nothing") is None
    assert command.commands["keys"] is llm.cli.keys
    command.commands.pop("chat")
    assert "chat" not in dict(command.commands)
    assert "chat" not in invoke(command, "--help").output.partition("Commands:")[2]


def test_names_that_plugins_import() -> None:
    """Commands and functions that plugins import from here are what they are elsewhere."""
    import llm.errors
    import llm.files.config
    import llm.migrations

    for name in ("prompt", "chat", "keys", "models", "aliases", "plugins", "logs", "logs_list"):
        assert isinstance(getattr(llm.cli, name), click.Command), name
    for name in ("get_key", "get_default_model", "logs_db_path", "logs_on", "user_dir"):
        assert getattr(llm.cli, name) is getattr(llm.files.config, name)
    for name in ("LoadTemplateError", "FragmentNotFound", "AttachmentError"):
        assert getattr(llm.cli, name) is getattr(llm.errors, name)
    assert llm.cli.migrate is llm.migrations.migrate
    assert {"cli", "prompt", "get_key"} <= set(dir(llm.cli))


def test_load_conversation(user_path: Path, tmp_path: Path) -> None:
    """Without anything logged there is no latest conversation, here or in another database."""
    assert llm.cli.load_conversation(None) is None
    assert llm.cli.load_conversation(None, database=str(tmp_path / "none.db"), async_=True) is None


def test_completion_lists_commands(root: Root) -> None:
    """Completing an empty word offers the commands, not the options of the default one."""
    complete = ShellComplete(root(), {}, "llm", "_LLM_COMPLETE")
    found = {item.value for item in complete.get_completions([], "")}
    assert {"keys", "prompt"} <= found
    assert {item.value for item in complete.get_completions(["keys"], "g")} == {"get"}


# Plugins' commands


def test_plugin_adds_a_command(root: Root, plugin: Callable[..., ModuleType]) -> None:
    """A command or group of a plugin stands beside the built-in ones."""

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        @cli.command(name="hello-plugin")
        def hello() -> None:
            click.echo("hello")

        @cli.group(name="things")
        def things() -> None:
            "Manage things"

        things.command(name="one")(lambda: click.echo("1"))

    plugin("test-commands", register_commands=register_commands)
    command = root()
    assert invoke(command, "hello-plugin").output == "hello\n"
    assert invoke(command, "things", "one").output == "1\n"
    assert "Manage things" in invoke(command, "--help").output
    assert {"hello-plugin", "things", "keys"} <= set(command.commands)


def test_plugin_replaces_the_prompt(root: Root, plugin: Callable[..., ModuleType]) -> None:
    """The default command is the one that stands under its name, a plugin's if it replaced it."""

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        original = cli.commands.pop("prompt")

        @cli.command(name="prompt", params=original.params)
        def replaced(**arguments: Any) -> None:
            click.echo(f"replaced: {arguments['prompt']} {arguments['model_id']}")

    plugin("test-replace", register_commands=register_commands)
    command = root()
    assert invoke(command, "-m", "x", "hi").output == "replaced: hi x\n"


def test_plugin_changes_a_built_in(
    root: Root, plugin: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dict that a hook sees is complete, and its commands can be changed in place."""
    keys = llm.cli.keys
    assert isinstance(keys, click.Group)
    monkeypatch.setitem(keys.commands, "list", keys.commands["list"])

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        keys = cli.commands["keys"]
        assert isinstance(keys, click.Group)
        keys.commands["list"] = click.Command("list", callback=lambda: print("!"))
        cli.add_command(click.Command("chat", callback=lambda: print("mine")))

    plugin("test-change", register_commands=register_commands)
    command = root()
    assert invoke(command, "keys").output == "!\n"
    assert invoke(command, "chat").output == "mine\n"


def local_of_a_plugin() -> Callable[[click.Group], None]:
    """A hook that brings a command which 0.36 does not have and we do."""

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        cli.command(name="local")(lambda: click.echo("theirs"))

    return register_commands


def test_plugin_command_of_a_new_name_wins_and_is_told_once(
    root: Root, plugin: Callable[..., ModuleType], user_path: Path
) -> None:
    """A plugin that had the name before us keeps it, with text piped in too."""
    plugin("test-local", register_commands=local_of_a_plugin())
    results = [invoke(root(), *args) for args in (["keys"], ["local"], ["--help"])]
    told = "'llm local' is the command of the plugin test-local, not the one of llm itself\n"
    assert [result.stderr for result in results] == [told, "", ""]
    assert results[1].stdout == "theirs\n"
    assert invoke(root(), "local", input="text").stdout == "theirs\n"


@pytest.mark.parametrize("name", ["conversations", "docs", "local"])
@pytest.mark.parametrize(
    ("args", "text", "is_prompt"),
    [
        ([], b"text", True),
        ([], b"", False),
        (["list"], b"text", False),
        (["--help"], b"text", False),
    ],
)
def test_new_name_with_text_piped_in_is_a_prompt(
    monkeypatch: pytest.MonkeyPatch, name: str, args: list[str], text: bytes, is_prompt: bool
) -> None:
    """In 0.36 such a word alone is a prompt; with arguments, or without text, it is the command."""
    monkeypatch.setenv("LLM_MODEL", "echo")
    command = [*RUN_LLM, name, *args]
    done = subprocess.run(command, input=text, capture_output=True)
    assert (b"text " + name.encode() in done.stdout) is is_prompt


def test_new_name_at_a_silent_pipe_is_the_command() -> None:
    """Where nobody writes to the pipe, nor closes it, the command runs."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*RUN_LLM, "local"], stdin=pipe, stderr=pipe) as process:
        assert process.wait(timeout=LIMIT_SECONDS) == 2
        assert process.stderr is not None
        assert b"Commands:" in process.stderr.read()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
def test_new_name_at_a_terminal_is_the_command() -> None:
    """A person who types it means the command."""
    with at_terminal("conversations", "tree") as (process, terminal):
        assert "No conversation was forked yet" in terminal.rest()
        assert process.wait(timeout=LIMIT_SECONDS) == 0


def test_plugin_whose_command_hook_breaks(
    root: Root, plugin: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that raises costs one line; the command runs."""
    monkeypatch.setattr(plugins, "_faults", {})

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        raise RuntimeError("no")

    plugin("test-broken", register_commands=register_commands)
    result = invoke(root(), "keys")
    assert result.stdout == "No keys found\n"
    assert result.stderr == "Plugin test-broken failed to load: RuntimeError: no\n"


# Groups with a default command


@pytest.mark.parametrize(
    ("group", "word", "message"),
    [
        ("logs", "lst", "No such command 'lst' - did you mean 'list'?"),
        ("keys", "pth", "No such command 'pth' - did you mean 'path'?"),
        ("keys", "zzz", "No such command 'zzz'. Commands: list, get, path, remove, set"),
        ("models", "optoins", "No such command 'optoins' - did you mean 'options'?"),
    ],
)
def test_unknown_sub_command(group: str, word: str, message: str) -> None:
    """A word that is no sub-command is a usage error that says what there is."""
    result = invoke(llm.cli.cli, group, word)
    assert result.exit_code == 2
    assert message in result.stderr


def test_default_sub_command_gets_options(user_path: Path) -> None:
    """Options without a sub-command go to the default one."""
    (user_path / "keys.json").write_text('{"a": "1"}')
    assert invoke(llm.cli.cli, "keys").output == "a\n"
    assert invoke(llm.cli.cli, "keys", "--json").output == '[\n  "a"\n]\n'
    assert "list*" in invoke(llm.cli.cli, "keys", "--help").output


def test_default_sub_command_with_arguments() -> None:
    """A default command that takes arguments gets words, but for one that looks like a command."""

    @click.group(cls=LazyGroup, default="list")
    def group() -> None:
        "A group"

    @group.command(name="list")
    @click.argument("words", nargs=-1)
    def list_(words: tuple[str, ...]) -> None:
        click.echo(words)

    assert invoke(group, "zzz", "y").output == "('zzz', 'y')\n"
    assert invoke(group, "lits").exit_code == 2


def test_group_without_default() -> None:
    """Without a default command a group is one of click's, and help may leave commands out."""
    group = LazyGroup("g", lazy={"keys": Lazy("llm.commands.keys:keys", "Keys.")})
    group.add_command(click.Command("secret", hidden=True))
    help_text = invoke(group, "--help").output
    assert "keys  Keys." in help_text
    assert "secret" not in help_text
    assert invoke(group, "zzz").exit_code == 2
    assert "Commands:" not in invoke(LazyGroup("empty"), "--help").output
    with pytest.raises(TypeError, match="no name"):
        group.add_command(click.Command(None))


def test_group_whose_default_is_gone() -> None:
    """A default command that was taken out is missed as any other is."""
    group = LazyGroup("g", default="list")
    assert invoke(group, "word").exit_code == 2
    assert invoke(group).exit_code == 2


# Errors


def failing(error: BaseException) -> click.Command:
    """A root-like group with one command that raises."""

    @click.command()
    @reported
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (NotFound("no x"), 1, "Error: no x\n"),
        (ModelError("bad day"), 1, "Error: bad day\n"),
        (ValueError("wrong"), 1, "Error: wrong\n"),
        (ValueError(), 1, "Error: ValueError\n"),
        (KeyError("x"), 1, "Error: KeyError: 'x'\n"),
        (llm.UnknownModelError("Unknown model: x"), 1, "Error: Unknown model: x\n"),
        (OSError(errno.ENOSPC, "No space left"), 1, "Error: [Errno 28] No space left\n"),
        (click.ClickException("own"), 1, "Error: own\n"),
        (KeyboardInterrupt(), 130, "\nAborted!\n"),
        (EOFError(), 1, "\nAborted!\n"),
    ],
)
def test_exception_becomes_a_line(error: BaseException, code: int, text: str) -> None:
    """An exception ends the command with a line on stderr and an exit code."""
    result = invoke(failing(error))
    assert (result.exit_code, result.stderr, result.stdout) == (code, text, "")


def test_invalid_input_is_a_usage_error() -> None:
    """A malformed value ends with the usage line and exit code 2."""
    result = invoke(failing(InvalidInput("bad value")))
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: fail [OPTIONS]\n")
    assert result.stderr.endswith("\nError: bad value\n")


def test_validation_error_shows_fields() -> None:
    """What pydantic refuses is shown by field and message."""
    from pydantic import BaseModel, ValidationError
    from pydantic.errors import PydanticUserError

    class Some(BaseModel):
        number: int
        names: list[str]

    with pytest.raises(ValidationError) as caught:
        Some.model_validate({"number": "x", "names": ["a", 1]})
    assert error_text(caught.value) == (
        "number\n  Input should be a valid integer, unable to parse string as an integer\n"
        "names.1\n  Input should be a valid string"
    )
    assert error_text(PydanticUserError("misused", code=None)) == "misused"


def test_original_exception_is_the_context() -> None:
    """Code that invokes a command finds the model's exception behind the one of click."""
    error = ModelError("x")
    callback = failing(error).callback
    assert callback is not None
    with pytest.raises(click.ClickException) as caught:
        callback()
    assert caught.value.__context__ is error


@pytest.mark.parametrize("how", ["variable", "plugin tests"])
def test_exceptions_raised_on_request(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """On request failures of models and unexpected exceptions come through, others do not."""
    if how == "variable":
        monkeypatch.setenv("LLM_RAISE_ERRORS", "1")
    else:
        monkeypatch.setattr(sys, "_called_from_test", True, raising=False)
    for error in (ModelError("x"), ValueError("y")):
        assert invoke(failing(error)).exception is error
    assert invoke(failing(NotFound("z"))).stderr == "Error: z\n"


def test_broken_pipe_is_no_message() -> None:
    """A reader that has gone away is no failure worth a message."""
    result = invoke(failing(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert (result.exit_code, result.stderr) == (141, "")


def test_command_of_a_plugin_that_raises(root: Root, plugin: Callable[..., ModuleType]) -> None:
    """A plugin's command that raises ends with a line as well."""

    @llm.hookimpl
    def register_commands(cli: click.Group) -> None:
        @cli.command(name="explode")
        def explode() -> None:
            raise RuntimeError("boom")

    plugin("test-explode", register_commands=register_commands)
    result = invoke(root(), "explode")
    assert (result.exit_code, result.stderr) == (1, "Error: boom\n")


def test_control_sequences_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal an error cannot send control sequences; elsewhere it is left alone."""
    error = ModelError("a\x1b]0;title\x07b")
    assert error_text(error) == str(error)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "\x1b" not in error_text(error)


def test_missing_key_tells_both_ways_out(root: Root) -> None:
    """With no model chosen and none that could answer, the error names both remedies."""
    code = (
        "import click, llm, llm.cli\n"
        "llm.cli.cli.add_command(click.Command('p', params=[click.Option(['-m', 'model_id'])],\n"
        "    callback=lambda model_id: llm.get_model(model_id).get_key()))\n"
        "llm.cli.cli()"
    )
    run = [sys.executable, "-c", code, "p"]
    unchosen = subprocess.run(run, capture_output=True, text=True)
    assert unchosen.returncode == 1
    assert "llm keys set openai" in unchosen.stderr
    assert "llm local install" in unchosen.stderr
    chosen = subprocess.run([*run, "-m", "gpt-4o"], capture_output=True, text=True)
    assert "llm keys set openai" in chosen.stderr
    assert "llm local install" not in chosen.stderr


def test_missing_key_with_a_corrupt_file(user_path: Path) -> None:
    """The hint is left out where it cannot be told; the error is shown all the same."""

    @click.command()
    @reported
    def fail() -> None:
        (user_path / "aliases.json").write_text("{")
        raise llm.NeedsKeyException("No key found")

    assert invoke(fail).stderr == "Error: No key found\n"


def test_short_help_option_survives_a_direct_call() -> None:
    """A command that somebody ran outside the root group still knows `-h`."""
    command = llm.cli.cli.commands["uninstall"]
    assert invoke(command, "--help").exit_code == 0
    assert invoke(llm.cli.cli, "uninstall", "-h").exit_code == 0
