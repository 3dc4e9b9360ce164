"""The plugin index: what is imported because of it, what it depends on, and how it is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHOW_PLUGINS = """
import atexit, sys
sys.argv = ["llm", *sys.argv[1:]]
atexit.register(lambda: print(
    "imported:", *sorted(n for n in sys.modules if n.startswith("llm_")), file=sys.stderr))
from llm.cli import cli
cli()
"""
MODEL = """
import click
import llm

class Model(llm.Model):
    def __init__(self, model_id):
        self.model_id = model_id
    def execute(self, prompt, stream, response, conversation):
        yield self.model_id + " says " + prompt.prompt
"""
REGISTERS = """
@llm.hookimpl
def register_models(register):
    register(Model("MODEL"), aliases=["the-MODEL"])
"""
COMMAND = """
@llm.hookimpl
def register_commands(cli):
    @cli.command(name="COMMAND")
    def command():
        "Say what it is."
        click.echo("it is COMMAND")
"""
EMBEDDING = """
class Embedding(llm.EmbeddingModel):
    model_id = "vec"
    def embed_batch(self, items):
        return ([1.0] for item in items)

@llm.hookimpl
def register_embedding_models(register):
    register(Embedding(), aliases=("v",))
"""
LIVE = """
import socket

@llm.hookimpl
def register_models(register):
    with socket.socket() as asking:
        asking.settimeout(5)
        asking.connect_ex(("127.0.0.1", 9))
    register(Model("live"), aliases=["found"])
"""

Run = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def run(tmp_path: Path, install_plugin: Callable[..., Path], monkeypatch: Any) -> Run:
    """Runs `llm`; returns what it prints, and the plugins that it has imported.

    The folders of the plugins have not been changed for long.
    """
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def run(*arguments: str, error: str = "", **variables: str) -> tuple[str, list[str]]:
        site = tmp_path / "site"
        for path in (tmp_path, site, *site.rglob("*")):
            if path.stat().st_mtime > time.time() - 3:
                os.utime(path, (1_000_000, 1_000_000))
        done = subprocess.run(
            [sys.executable, "-c", SHOW_PLUGINS, *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env={**os.environ, **variables},
        )
        *errors, imported = done.stderr.splitlines()
        assert "\n".join(errors) == error
        return done.stdout, imported.split()[1:]

    return run


def model_plugin(install_plugin: Callable[..., Path], name: str, more: str = "") -> None:
    install_plugin(f"llm-{name}", MODEL + REGISTERS.replace("MODEL", name) + more)


def record(user_path: Path, name: str) -> dict[str, Any]:
    """What the only index says of a plugin."""
    (path,) = (user_path / "cache").glob("*.json")
    found: list[dict[str, Any]] = json.loads(path.read_text())["plugins"]
    (plugin,) = [plugin for plugin in found if plugin["name"] == name]
    return plugin


def test_listings_import_no_plugin(run: Run, install_plugin: Callable[..., Path]) -> None:
    """Help, models, aliases and the log come from the index once it is there."""
    model_plugin(install_plugin, "one", COMMAND.replace("COMMAND", "one"))
    model_plugin(install_plugin, "two", EMBEDDING)
    run("--help")
    printed, imported = run("--help")
    assert "  one            Say what it is.\n" in printed
    assert imported == []
    printed, imported = run("models")
    assert "Model: one (aliases: the-one)\nModel: two" not in printed
    assert "Model: two (aliases: the-two)\nModel: one (aliases: the-one)\n" in printed
    assert imported == []
    assert "the-two " in run("aliases")[0]
    printed, imported = run("embed-models")
    assert "Embedding: vec (aliases: v)" in printed
    assert imported == []
    run("-m", "one", "hi")
    printed, imported = run("logs", "-n", "1")
    assert "one says hi" in printed
    assert imported == []


@pytest.mark.parametrize("name", ["two", "the-two", "mine"])
def test_one_model_imports_its_plugin(
    run: Run, install_plugin: Callable[..., Path], user_path: Path, name: str
) -> None:
    """A model, by its id or an alias of anybody, needs its own plugin alone."""
    for plugin in ("one", "two", "three"):
        model_plugin(install_plugin, plugin)
    (user_path / "aliases.json").write_text('{"mine": "two"}')
    run("--help")
    assert run("-n", "-m", name, "hi") == ("two says hi\n", ["llm_two"])


def test_default_model_imports_its_plugin(
    run: Run, install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """So does the model that the user has made the default."""
    for plugin in ("one", "two"):
        model_plugin(install_plugin, plugin)
    (user_path / "default_model.txt").write_text("one")
    run("--help")
    assert run("-n", "hi") == ("one says hi\n", ["llm_one"])


def test_command_imports_its_plugin(run: Run, install_plugin: Callable[..., Path]) -> None:
    """A command needs the plugin that adds it, and those that change it."""
    install_plugin("llm-one", MODEL + COMMAND.replace("COMMAND", "one"))
    install_plugin("llm-two", MODEL + COMMAND.replace("COMMAND", "two"))
    changes = (
        '\n@llm.hookimpl\ndef register_commands(cli):\n    cli.commands["keys"].help = "New"\n'
    )
    install_plugin("llm-three", MODEL + changes)
    run("--help")
    assert run("one") == ("it is one\n", ["llm_one"])
    printed, imported = run("keys", "--help")
    assert "New" in printed
    assert imported == ["llm_three"]
    assert run("--help")[1] == ["llm_three"]
    assert run("tools", "list")[1] == ["llm_one", "llm_three", "llm_two"]


def test_install_belongs_to_the_plugin_that_takes_its_place(
    run: Run, install_plugin: Callable[..., Path]
) -> None:
    """Only that one is imported for it, and none where it is not known which."""
    takes_over = (
        "\n@llm.hookimpl\ndef register_commands(cli):\n"
        '    @cli.command()\n    def install():\n        click.echo("mine")\n'
    )
    install_plugin("llm-installs", MODEL + takes_over)
    model_plugin(install_plugin, "one")
    assert run("install", "--help")[1] == []
    run("--help")
    assert run("install") == ("mine\n", ["llm_installs"])
    assert run("install", LLM_LOAD_PLUGINS="llm-installs") == ("mine\n", ["llm_installs"])
    assert run("uninstall", "--help")[1] == []
    install_plugin("llm-ends", "import os\nos._exit(3)\n")
    printed, imported = run("install", "--help")
    assert "Install packages" in printed
    assert imported == []


def test_reader_of_commands_is_alone(run: Run, install_plugin: Callable[..., Path]) -> None:
    """A plugin that looks at a command of ours for its own one is imported for that alone."""
    reads = (
        "\n@llm.hookimpl\ndef register_commands(cli):\n"
        '    count = len(cli.commands["prompt"].params)\n'
        '    cli.add_command(click.Command("reader", callback=lambda: click.echo(count > 20)))\n'
    )
    install_plugin("llm-reader", MODEL + reads)
    model_plugin(install_plugin, "one")
    run("--help")
    assert run("--help")[1] == []
    assert run("-n", "-m", "one", "hi")[1] == ["llm_one"]
    assert run("reader") == ("True\n", ["llm_reader"])


def test_completion_imports_no_plugin(run: Run, install_plugin: Callable[..., Path]) -> None:
    """The shell completes the commands of plugins from the index."""
    install_plugin("llm-one", MODEL + COMMAND.replace("COMMAND", "one-command"))
    run("--help")
    variables = {"_LLM_COMPLETE": "bash_complete", "COMP_WORDS": "llm one", "COMP_CWORD": "1"}
    printed, imported = run(**variables)
    assert printed == "plain,one-command\n"
    assert imported == []


def test_live_plugin(run: Run, install_plugin: Callable[..., Path]) -> None:
    """A plugin that asks the network is imported for listings and its own models alone."""
    install_plugin("llm-live", MODEL + LIVE)
    model_plugin(install_plugin, "one")
    run("--help")
    assert run("--help")[1] == []
    assert run("models")[1] == ["llm_live"]
    assert run("-n", "-m", "one", "hi")[1] == ["llm_one"]
    assert run("-n", "-m", "found", "hi") == ("live says hi\n", ["llm_live"])
    assert run("-n", "-m", "none", "hi", error="Error: Unknown model: none - did you mean one?")[
        1
    ] == ["llm_live", "llm_one"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("print('here')", "it prints"),
        ("import os; os.environ['X_Y'] = '1'", "it changes environment variables"),
        ("dict(__import__('os').environ)", "it reads all environment variables"),
        ("open(llm.user_dir() / 'x', 'w').close()", "it writes files"),
        ("import os; os.path.exists('x.txt')", "it reads a file of the current folder"),
        ("from pathlib import Path; Path.cwd()", "it asks for the current folder"),
        ("import subprocess; subprocess.run(['true'])", "it starts a program"),
        ("llm.get_key = lambda *args: 'x'", "it changes the program"),
        ("llm.Response.log_to_db = lambda self, db: None", "it changes the program"),
        ("llm.user_dir().joinpath('logs.db').exists()", "it reads what changes with each command"),
        ("import os; os.listdir(llm.user_dir())", "it reads what changes with each command"),
        ("import sys; sys.path.append('/nowhere')", "it changes the program"),
    ],
)
def test_uncertain_plugin_is_imported(
    run: Run, install_plugin: Callable[..., Path], user_path: Path, source: str, reason: str
) -> None:
    """A plugin that does more than registering is imported by every command that asks plugins."""
    install_plugin("llm-odd", MODEL + source + COMMAND.replace("COMMAND", "odd"))
    model_plugin(install_plugin, "one")
    error = "here" if reason == "it prints" else ""
    run("--help", error=error)
    assert record(user_path, "odd")["uncertain"] == {"*": reason}
    assert record(user_path, "one")["uncertain"] == {}
    assert run("--help", error=error)[1] == ["llm_odd"]


def test_plugin_with_a_folder_of_its_own(
    run: Run, install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """A plugin may make a folder in the user directory, and need not be imported for that."""
    model_plugin(install_plugin, "one", "(llm.user_dir() / 'one' / 'x').mkdir(parents=True)\n")
    run("--help")
    assert (user_path / "one" / "x").is_dir()
    assert record(user_path, "one")["uncertain"] == {}


@pytest.mark.parametrize("missing", ["RECORD", "editable", "hooks"])
def test_plugin_without_known_files_is_imported(
    run: Run, install_plugin: Callable[..., Path], user_path: Path, missing: str
) -> None:
    """An editable plugin, one without a list of its files and one without hooks are uncertain."""
    source = MODEL if missing == "hooks" else MODEL + REGISTERS
    metadata = install_plugin("llm-odd", source) / "llm_odd-1.5.dist-info"
    if missing == "RECORD":
        (metadata / "RECORD").unlink()
    elif missing == "editable":
        (metadata / "direct_url.json").write_text('{"dir_info": {"editable": true}}')
    run("--help")
    assert list(record(user_path, "odd")["uncertain"]) == ["*"]
    assert run("--help")[1] == ["llm_odd"]


@pytest.mark.parametrize("end", ["import os; os._exit(3)", "llm.get_models()"])
def test_nothing_is_certain(
    run: Run, install_plugin: Callable[..., Path], user_path: Path, end: str
) -> None:
    """Where indexing cannot end, or a plugin depends on the order of imports, all are imported."""
    model_plugin(install_plugin, "one")
    install_plugin("llm-two", f"import llm, sys\nif 'atexit' not in sys.modules or 1:\n    {end}")
    if "exit" in end:
        source = "import sys, os\nif sys.argv == ['llm']:\n    os._exit(3)\n" + MODEL + REGISTERS
        (Path(os.environ["PYTHONPATH"]) / "llm_two.py").write_text(source)
    run("--help")
    (path,) = (user_path / "cache").glob("*.json")
    assert json.loads(path.read_text())["plugins"] is None
    assert run("--help")[1] == ["llm_one", "llm_two"]


def test_broken_plugins_cost_a_line_each(
    run: Run, install_plugin: Callable[..., Path], tmp_path: Path
) -> None:
    """What failed while it was indexed is told once, without another try; and again where
    something is missing, or somebody looks at the plugins."""
    install_plugin("llm-a", "raise ValueError('a')")
    install_plugin("llm-b", MODEL + "\n@llm.hookimpl\ndef register_models(register):\n    1 / 0\n")
    model_plugin(install_plugin, "one")
    told = "Plugin llm-a failed to load: ValueError: a"
    division = "Plugin llm-b failed to load: ZeroDivisionError: division by zero"
    run("--help", error=told)
    assert run("--help")[1] == []
    printed, imported = run("models", error=division)
    assert "Model: one" in printed
    assert imported == []
    assert run("models")[1] == []
    printed, imported = run("-n", "-m", "one", "hi")
    assert (printed, imported) == ("one says hi\n", ["llm_one"])
    run("plugins", error=f"{told}\n{division}")
    run("-n", "-m", "of-b", "hi", error=f"{told}\n{division}\nError: Unknown model: of-b")
    # Another fault is news.
    (tmp_path / "site" / "llm_a.py").write_text("raise ValueError('another')")
    run("--help", error="Plugin llm-a failed to load: ValueError: another")


@pytest.mark.parametrize("variable", ["LLM_NO_PLUGIN_INDEX", "LLM_RAISE_ERRORS"])
def test_without_index(
    run: Run, install_plugin: Callable[..., Path], user_path: Path, variable: str
) -> None:
    """These variables have everything loaded, and nothing kept."""
    model_plugin(install_plugin, "one")
    for _ in range(2):
        assert run("--help", **{variable: "1"})[1] == ["llm_one"]
    assert list((user_path / "cache").glob("*.json")) == []


def test_index_is_ours_alone(
    run: Run, install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """Only the owner can read it; one that others can write to is not believed."""
    model_plugin(install_plugin, "one")
    run("--help")
    (path,) = (user_path / "cache").glob("*.json")
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    assert run("--help")[1] == []
    path.chmod(0o666)
    text = path.read_text()
    path.write_text(text.replace('"the-one"', '"the-evil"'))
    run("--help")
    assert "the-evil" not in run("models")[0]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"plugins": []}', "\xff"])
def test_broken_index_is_made_anew(
    run: Run, install_plugin: Callable[..., Path], user_path: Path, content: str
) -> None:
    """A damaged file costs the time of another one."""
    model_plugin(install_plugin, "one")
    run("--help")
    (path,) = (user_path / "cache").glob("*.json")
    path.write_bytes(content.encode("latin-1"))
    assert "Model: one" in run("models")[0]
    assert run("models")[1] == []


def test_index_is_not_made_all_the_time(
    run: Run, install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """Within a minute what has changed is loaded, not indexed again."""
    model_plugin(install_plugin, "one")
    run("--help")
    (path,) = (user_path / "cache").glob("*.json")
    before = path.read_bytes()
    site = Path(os.environ["PYTHONPATH"])
    os.utime(site / "llm_one.py", (2_000_000, 2_000_000))
    assert run("--help")[1] == ["llm_one"]
    assert path.read_bytes() == before
    os.utime(path, (2_000_000, 2_000_000))
    assert run("--help")[1] == []


def test_reindex(run: Run, install_plugin: Callable[..., Path], user_path: Path) -> None:
    """`llm plugins --reindex` makes it anew, and lists the plugins."""
    model_plugin(install_plugin, "one")
    run("--help")
    (path,) = (user_path / "cache").glob("*.json")
    path.write_text("{}")
    assert json.loads(run("plugins", "--reindex")[0])[0]["name"] == "llm-one"
    assert record(user_path, "one")["models"][0]["model_id"] == "one"


def test_library_makes_no_index(
    run: Run, install_plugin: Callable[..., Path], user_path: Path, tmp_path: Path
) -> None:
    """A program that imports `llm` uses an index that is there, and never starts a process."""
    model_plugin(install_plugin, "one")
    model_plugin(install_plugin, "two")
    code = (
        "import llm, sys\nfirst = llm.get_model('the-two').model_id\n"
        "some = [n for n in sys.modules if n.startswith('llm_')]\n"
        "ids = [model.model_id for model in llm.get_models()][-2:]\n"
        "print(first, some, ids, llm.get_model('one').model_id, llm.get_model('two').model_id)"
    )

    def printed() -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout

    everything = "two ['llm_one', 'llm_two'] ['two', 'one'] one two\n"
    run("--version")
    assert printed() == everything
    assert list((user_path / "cache").glob("*.json")) == []
    run("--help")
    assert printed() == everything.replace("'llm_one', ", "")


def test_order_of_calls_stays(
    run: Run, install_plugin: Callable[..., Path], tmp_path: Path
) -> None:
    """However plugins are loaded one by one, those that are asked last are asked last."""
    for name in ("one", "two", "three"):
        model_plugin(install_plugin, name)
    run("--help")
    code = (
        "import llm\nfor name in ('two', 'one'):\n    llm.get_model(name)\n"
        "class Hand:\n    pass\n"
        "llm.pm.register(Hand(), name='hand')\nllm.get_model('three')\n"
        "before = [name for name, _ in llm.pm.list_name_plugin()]\n"
        "llm.load_plugins()\nprint(before == [name for name, _ in llm.pm.list_name_plugin()])\n"
        "print(before[:3], before[-1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout == "True\n['one', 'three', 'two'] hand\n"


def test_index_that_is_wrong_is_forgotten(
    run: Run, install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """A model that its plugin no longer registers: everything is asked, and noted anew."""
    source = MODEL + "import time\n" + REGISTERS.replace('"MODEL"', "f'{time.time_ns()}'")
    install_plugin("llm-odd", source)
    model_plugin(install_plugin, "one")
    run("--help")
    (path,) = (user_path / "cache").glob("*.json")
    name = record(user_path, "odd")["models"][0]["model_id"]
    run("models", "options", "show", name, error=f"No default options set for model '{name}'.")
    assert not path.exists()


def test_recent_install_is_loaded(
    install_plugin: Callable[..., Path], user_path: Path, tmp_path: Path
) -> None:
    """What was installed a moment ago may still change without a trace: nothing is noted yet."""
    model_plugin(install_plugin, "one")
    command = [sys.executable, "-c", SHOW_PLUGINS, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == "imported: llm_one\n"
    assert list((user_path / "cache").glob("*.json")) == []


def test_disabled_plugin_is_not_there(
    run: Run, install_plugin: Callable[..., Path], user_path: Path
) -> None:
    """Switching a plugin off and on is noticed, before and after the index is made anew."""
    model_plugin(install_plugin, "one")
    model_plugin(install_plugin, "two")
    run("--help")
    run("plugins", "disable", "llm-one")
    assert "Model: one" not in run("models")[0]
    for path in (user_path / "disabled_plugins.json", *(user_path / "cache").glob("*.json")):
        os.utime(path, (2_000_000, 2_000_000))
    assert "Model: one" not in run("models")[0]
    printed, imported = run("models")
    assert "Model: two" in printed
    assert imported == []
    run("plugins", "enable", "llm-one")
    assert "Model: one" in run("models")[0]
