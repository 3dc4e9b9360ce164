"""Whatever happens to plugins and to what they read: the plugin index changes no answer."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .helpers.plugin_questions import Asker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it forks")

NAMES = ("alpha", "beta", "gamma")
MODEL = """
import os
import click
import llm

NAME, VERSION = "{name}", "{version}"

class Model(llm.Model):
    def __init__(self, model_id):
        self.model_id = model_id

    def execute(self, prompt, stream, response, conversation):
        yield f"{{NAME}} {{VERSION}} {{self.model_id}} {{prompt.prompt}}"

    def __str__(self):
        return f"{{NAME}} {{VERSION}}: {{self.model_id}}"
"""
# What plugins do, as real ones do it.
SOURCES = {
    "plain": """
@llm.hookimpl
def register_models(register):
    register(Model(NAME), aliases=("common", "short-" + VERSION))
""",
    "two": """
@llm.hookimpl
def register_models(register):
    register(Model(NAME + "-1"), aliases=["4o"])
    register(Model("common"))
""",
    "keyed": """
@llm.hookimpl
def register_models(register):
    if llm.get_key("", "some", "SOME_KEY"):
        register(Model(NAME), aliases=["common"])
""",
    "file": """
@llm.hookimpl
def register_models(register):
    path = llm.user_dir() / "models.txt"
    for model_id in path.read_text().split() if path.exists() else ():
        register(Model(model_id), aliases=["common"])
""",
    "variable": """
@llm.hookimpl
def register_models(register):
    register(Model(os.environ.get("MODEL_NAME", "none")))
""",
    "last": """
@llm.hookimpl(trylast=True)
def register_models(register, model_aliases):
    for entry in list(model_aliases)[-1:]:
        entry.aliases.append("last-" + VERSION)
""",
    "commands": """
@llm.hookimpl
def register_commands(cli):
    @cli.command(name=NAME)
    @click.option("-x")
    def command(x):
        "Do what plugins do, version {version}, at some length, so that it has to be cut."
        click.echo(NAME + VERSION)
    cli.add_command(click.Command("same", help=NAME, callback=lambda: click.echo(NAME)))
""",
    "reads": """
@llm.hookimpl
def register_commands(cli):
    params = [param.name for param in cli.commands["schemas"].params]
    cli.add_command(click.Command(NAME, callback=lambda: click.echo(str(params) + VERSION)))
""",
    "alters": """
@llm.hookimpl
def register_commands(cli):
    cli.commands["schemas"].params.append(click.Option(["--" + NAME + VERSION]))
    cli.commands["keys"].help = "Changed by " + NAME
""",
    "pops": """
@llm.hookimpl
def register_commands(cli):
    known = cli.commands.copy()
    cli.commands.pop("similar", None)
    cli.commands.pop("alpha", None)
    cli.add_command(click.Command(NAME + str(len(known))))
""",
    "broken": "raise RuntimeError('no ' + VERSION)\n",
    "fails": """
@llm.hookimpl
def register_models(register):
    register(Model(NAME), aliases=["common"])
    raise RuntimeError("half")

@llm.hookimpl
def register_tools(register):
    raise RuntimeError("none")
""",
    "unshown": """
@llm.hookimpl
def register_models(register):
    register(Model(None), aliases=["common"])
    register(Model(NAME))
""",
    "tools": """
def shared(text: str) -> str:
    return NAME

@llm.hookimpl
def register_tools(register):
    register(shared)
    register(shared, name=NAME)

@llm.hookimpl
def register_fragment_loaders(register):
    register("shared", lambda rest: llm.Fragment(NAME + VERSION + rest))
    register("dir", lambda rest: llm.Fragment("dir of " + NAME))
""",
    "prints": """
print("here is", NAME)
@llm.hookimpl
def register_models(register):
    register(Model(NAME), aliases=["common"])
""",
    "replaces": """
before = llm.get_models_with_aliases
def get_models_with_aliases():
    return [entry for entry in before() if entry.model_id != "beta"]
llm.get_models_with_aliases = get_models_with_aliases
@llm.hookimpl
def register_models(register):
    register(Model(NAME))
""",
    "looks": """
ids = [model.model_id for model in llm.get_models()]
@llm.hookimpl
def register_models(register):
    register(Model(NAME + str(len(ids))))
""",
    "embeds": """
class Embedding(llm.EmbeddingModel):
    model_id = NAME
    def embed_batch(self, items):
        return ([1.0, float(VERSION)] for item in items)

@llm.hookimpl
def register_embedding_models(register):
    register(Embedding(), aliases=["common"])
""",
}
QUESTIONS = (
    ["--help"],
    ["models"],
    ["aliases"],
    ["-n", "-m", "common", "-f", "shared:x", "-f", "dir:.", "hi"],
    ["-n", "-m", "alpha", "hi"],
    ["models", "options", "show", "mine"],
    ["alpha"],
    ["schemas", "--help"],
    ["-n", "-m", "common", "-T", "shared_1", "hi"],
)
MORE_QUESTIONS = (
    ["models", "--json", "-m", "common"],
    ["embed-models", "--json"],
    ["models", "options", "show", "4o"],
    ["models", "options", "show", "none"],
    ["-n", "-m", "common", "hi"],
    ["same"],
    ["keys", "--help"],
    ["-n", "-m", "common", "-T", "beta", "hi"],
)
IS_SUITE = settings().max_examples <= 200
TIMES = itertools.count(int(time.time()) - 1_000_000, 5)


@dataclass
class World:
    """Plugins, user files and variables that change; the times of all lie long ago."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.user = self.folder / "user"
        self.site = self.folder / "site"
        for path in (self.user, self.site):
            path.mkdir(parents=True)
            self.settle(path)

    def settle(self, path: Path) -> None:
        moment = next(TIMES)
        os.utime(path, (moment, moment))

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self.settle(path)

    def change(self, action: str, name: str, kind: str, version: str) -> None:
        """Let one thing happen."""
        metadata = next(self.site.glob(f"llm_{name}-*.dist-info"), None)
        source = MODEL.format(name=name, version=version) + SOURCES.get(kind, "").replace(
            "{version}", version
        )
        if action == "install" or (action == "edit" and metadata):
            self.write(self.site / f"llm_{name}.py", source)
        if action == "install":
            self._install(name, version, metadata)
        elif action == "remove" and metadata:
            shutil.rmtree(metadata)
            (self.site / f"llm_{name}.py").unlink()
            self.settle(self.site)
        elif action == "file":
            self.write(self.user / "models.txt", f"{name} {version}")
        elif action == "no file":
            (self.user / "models.txt").unlink(missing_ok=True)
        elif action == "key":
            key = {"some": version} if kind > "k" else {}
            self.write(self.user / "keys.json", json.dumps(key))
        elif action == "variable":
            self.variables = {"MODEL_NAME": name, "SOME_KEY": version if kind > "k" else ""}
        elif action == "alias":
            self.write(self.user / "aliases.json", json.dumps({"mine": name, "4o": "common"}))

    def _install(self, name: str, version: str, before: Path | None) -> None:
        if before:
            shutil.rmtree(before)
        metadata = self.site / f"llm_{name}-{version}.dist-info"
        about = f"Metadata-Version: 2.1\nName: llm-{name}\nVersion: {version}\n"
        self.write(metadata / "METADATA", about)
        self.write(metadata / "entry_points.txt", f"[llm]\n{name} = llm_{name}\n")
        files = (f"llm_{name}.py", f"{metadata.name}/METADATA", f"{metadata.name}/entry_points.txt")
        self.write(metadata / "RECORD", "".join(f"{file},,\n" for file in files))
        self.settle(metadata)
        self.settle(self.site)

    def age_index(self) -> None:
        """Let the index be old enough to be made anew."""
        for path in self.user.glob("cache/*.json"):
            self.settle(path)


CHANGES = st.tuples(
    st.sampled_from(
        (
            *("install", "install", "install", "edit", "remove", "file", "no file", "key"),
            *("variable", "alias"),
        )
    ),
    st.sampled_from(NAMES),
    st.sampled_from(sorted(SOURCES)),
    st.sampled_from(("1", "2")),
)


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """What asks the questions."""
    folder = tmp_path_factory.mktemp("asker")
    os.utime(folder, (1, 1))
    asker = Asker(folder)
    yield asker
    asker.close()


@pytest.fixture(scope="module")
def new_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], World]:
    """Makes a world without plugins."""
    return lambda: World(tmp_path_factory.mktemp("world"))


def check(asker: Asker, world: World) -> None:
    """Every question has the same answer with and without the index, cold and warm."""
    questions = QUESTIONS if IS_SUITE else (*QUESTIONS, *MORE_QUESTIONS)
    variables = {
        "LLM_USER_PATH": str(world.user),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "80",
        "MODEL_NAME": "",
        "SOME_KEY": "",
        **world.variables,
    }
    world.age_index()
    # What is told once is told of both.
    told = world.user / "told.json"
    told.unlink(missing_ok=True)
    plain = asker.ask(world.site, {**variables, "LLM_NO_PLUGIN_INDEX": "1"}, questions)
    told.unlink(missing_ok=True)
    indexed = asker.ask(world.site, variables, questions)
    for question, without, with_index in zip(questions, plain, indexed, strict=True):
        assert with_index == without, question


# Every step takes twenty processes.
@settings(max_examples=2 if IS_SUITE else 200)
@given(changes=st.lists(CHANGES, min_size=1, max_size=3))
def test_index_changes_no_answer(
    asker: Asker, new_world: Callable[[], World], changes: list[tuple[str, str, str, str]]
) -> None:
    """After any sequence of changes each command says what it says without the index."""
    world = new_world()
    for change in changes:
        world.change(*change)
        check(asker, world)


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_index_of_each_kind(asker: Asker, new_world: Callable[[], World], kind: str) -> None:
    """Each kind of plugin gives the same answers, alone in its kind and after an edit."""
    world = new_world()
    world.change("install", "alpha", "plain", "1")
    world.change("install", "beta", kind, "1")
    world.change("alias", "beta", kind, "1")
    world.change("file", "beta", kind, "some")
    check(asker, world)
    assert list(world.user.glob("cache/*.json")), "no index was made"
    if not IS_SUITE:
        world.change("edit", "beta", kind, "2")
        world.change("key", "beta", "plain", "2")
        check(asker, world)
