"""The documentation says what is: its Python runs, its commands parse, its tables are complete."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
import types
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import click
import pytest

import llm
from llm import hookspecs
from llm.cli import cli
from llm.plugins import pm

from .helpers.sample import sample

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = Path(llm.__file__).parent
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HOOKS = [
    name
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, "llm_spec")
]


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page in one of the languages, without their indentation."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        for indent, language, text in found
        if language in languages
    ]


def name_of(page: Path) -> str:
    """Return the page's path in the project."""
    return page.relative_to(ROOT).as_posix()


class DocsOptions(llm.Options):
    """The options that the pages use."""

    temperature: float | None = None


class DocsModel(llm.Model):
    """Stands for the vendor's model that the pages name."""

    model_id = "gpt-4o-mini"
    can_stream = True
    supports_schema = True
    # The pages may ask for the default model.
    answers_without_key = True
    attachment_types = {"image/png"}
    Options = DocsOptions

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        """Answer in three pieces, or with what fits the schema of the pages."""
        assert prompt.messages
        if prompt.schema:
            yield json.dumps(sample(prompt.schema))
        else:
            yield from ("One, ", "two, ", "three")


class AsyncDocsModel(llm.AsyncModel):
    """The async twin."""

    model_id = "gpt-4o-mini"
    can_stream = True
    Options = DocsOptions

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        """Answer in two pieces."""
        yield "One, "
        yield "two"


class DocsPlugin:
    """Registers the model last, so that it stands in front of the built-in one."""

    @llm.hookimpl(trylast=True)
    def register_models(self, register: object) -> None:
        """Register the twins."""
        assert callable(register)
        register(DocsModel(), AsyncDocsModel())


@pytest.fixture
def vendor() -> Iterator[None]:
    """Put the model that the pages name in front of the built-in one."""
    pm.register(DocsPlugin(), name="docs-vendor")
    yield
    pm.unregister(name="docs-vendor")


def load_plugin(source: str) -> types.ModuleType:
    """Run the source of a plugin and register it, as an installed one would be."""
    name = source.splitlines()[0].removeprefix("# ").removesuffix(".py")
    module = types.ModuleType(name)
    exec(compile(source, name, "exec"), vars(module))
    pm.register(module, name=name)
    if hasattr(module, "register_commands"):
        module.register_commands(cli)
    return module


# Its plugin needs packages of its own; `tests/real` installs them and runs the page.
ELSEWHERE = {DOCS / "plugins" / "tutorial.md"}
IN_PYTHON = [page for page in PAGES if blocks(page, "python") and page not in ELSEWHERE]


@pytest.mark.parametrize("page", IN_PYTHON, ids=name_of)
def test_docs_python_blocks_run(
    page: Path, vendor: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every Python block runs, after the ones before it on its page; plugins are registered. The
    same is true of a second time in the same user directory."""
    monkeypatch.chdir(tmp_path)
    # A dataclass looks for the module that it is defined in.
    monkeypatch.setitem(sys.modules, "docs", types.ModuleType("docs"))
    for _ in range(2):
        run_python_of(page)


def run_python_of(page: Path) -> None:
    """Run the Python blocks of a page in their order."""
    namespace: dict[str, object] = {"__name__": "docs"}
    commands = dict(cli.commands)
    plugins = []
    ran = 0
    try:
        for source in blocks(page, "python"):
            if source.startswith("# llm_"):
                plugins.append(load_plugin(source))
            else:
                exec(compile(source, name_of(page), "exec"), namespace)
            ran += 1
    finally:
        for module in plugins:
            pm.unregister(module)
        for added in set(cli.commands) - set(commands):
            del cli.commands[added]
    assert ran == len(blocks(page, "python"))


def command_lines(page: Path) -> list[list[str]]:
    """Return the arguments of every `llm` command in the shell blocks of a page."""
    lines = []
    for text in blocks(page, "bash", "console"):
        for line in text.splitlines():
            for part in re.split(r" && | \| |\$\((?=llm )", line.removeprefix("$ ").strip()):
                words = shlex.split(part.replace(')"', ""), comments=True) if "llm " in part else []
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words.pop(0)
                if words and words[0].split("/")[-1] == "llm":
                    lines.append(words[1:])
    return lines


def parse(arguments: list[str]) -> list[str]:
    """Parse the arguments as the command does, without running it; return the path it took."""
    command: click.Command = cli
    context = click.Context(cli, info_name="llm", **cli.context_settings)
    path = []
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments[0])
        if found is None:
            break
        path.append(arguments[0])
        command, arguments = found, arguments[1:]
        context = click.Context(command, info_name=path[-1], parent=context)
    has_default = isinstance(command, click.Group) and not command.invoke_without_command
    if has_default and arguments[:1] not in (["--version"], ["--help"]):
        default = "prompt" if command is cli else "list"
        assert isinstance(command, click.Group)
        found = command.get_command(context, default)
        assert found is not None
        command = found
    command.make_parser(context).parse_args(list(arguments))
    return path


@pytest.mark.parametrize("page", [page for page in PAGES if command_lines(page)], ids=name_of)
def test_docs_command_lines_parse(page: Path) -> None:
    """Every `llm` line in a shell block uses commands and options that exist."""
    wrong = {}
    for arguments in command_lines(page):
        try:
            parse(arguments)
        except click.UsageError as problem:
            wrong[shlex.join(arguments)] = problem.message
    assert wrong == {}


def test_docs_command_pages_are_current() -> None:
    """The pages made from `--help` are what docs/generate.py would write now."""
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.returncode == 0


def commands_below(group: click.Group, path: str) -> Iterator[str]:
    """Yield the path of every visible command."""
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield f"{path} {name}"
        if isinstance(command, click.Group):
            yield from commands_below(command, f"{path} {name}")


def test_docs_every_command_is_documented() -> None:
    """Each command has a heading of its own below docs/reference/commands/."""
    pages = (DOCS / "reference" / "commands").glob("*.md")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    headings = set(re.findall(r"^#+ (llm .+)$", text, re.MULTILINE))
    assert headings == set(commands_below(cli, "llm"))


def test_docs_every_hook_has_a_page() -> None:
    """There is one page per hook, and no page for anything else."""
    pages = {page.stem for page in (DOCS / "plugins").glob("register_*.md")}
    assert pages == set(HOOKS)
    assert len(HOOKS) == 6


@pytest.mark.parametrize("hook", HOOKS)
def test_docs_hook_names_its_exact_arguments(hook: str) -> None:
    """The heading of a hook's page is its signature, and the index of the hooks repeats it."""
    parameters = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    page = (DOCS / "plugins" / f"{hook}.md").read_text(encoding="utf-8")
    index = (DOCS / "plugins" / "index.md").read_text(encoding="utf-8")
    assert page.splitlines()[0] == f"# {hook}({parameters})"
    assert f"[`{hook}({parameters})`]({hook}.md)" in index
    assert any(
        f"def {hook}(" in source for source in blocks(DOCS / "plugins" / f"{hook}.md", "python")
    )


def test_docs_public_names_are_listed() -> None:
    """The reference of the Python API lists the names of `llm.__all__`, and all the others."""
    text = (DOCS / "reference" / "python-api.md").read_text(encoding="utf-8")
    lists = re.findall(r"```text\n(.*?)```", text.partition("## Every public name")[2], re.DOTALL)
    listed, others = (found.split() for found in lists)
    assert listed == sorted(llm.__all__)
    served = {name for name in dir(llm) if name[0] != "_" and not _is_module(name)}
    # With these the package serves the others.
    served -= {"attach", "for_hints"}
    assert others == sorted(served - {*llm.__all__})


def _is_module(name: str) -> bool:
    return isinstance(getattr(llm, name), types.ModuleType)


def test_docs_modules_for_plugins_exist() -> None:
    """Each module that the reference offers to plugins can be imported."""
    text = (DOCS / "reference" / "python-api.md").read_text(encoding="utf-8")
    names = re.findall(r"`(llm\.[\w.]+)`", text.partition("Modules that may be imported:")[2])
    assert len(names) >= 16
    for name in names:
        __import__(name)
        assert sys.modules[name].__doc__


def test_docs_environment_variables_are_documented() -> None:
    """Each `LLM_...` variable that the code reads is in the table, and no other."""
    page = (DOCS / "reference" / "files-and-environment.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(LLM_\w+)`", page, re.MULTILINE))
    sources = (path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    read = {name for text in sources for name in re.findall(r"[\"'](LLM_[A-Z_]+)[\"']", text)}
    assert documented == read


def test_docs_glossary_is_in_order() -> None:
    """The glossary is sorted, and has each of the words that the code uses."""
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^(\S.*)\n: ", text, re.MULTILINE)
    assert words == sorted(words, key=str.lower)
    field = {
        *("prompt", "response", "conversation", "turn", "message", "part", "tool call"),
        *("fragment", "template", "schema", "collection", "embedding"),
    }
    assert field <= {word.lower() for word in words}


def test_docs_rules_of_plugins_have_tests() -> None:
    """Each of the 32 rules names tests, and all of them exist."""
    page = (DOCS / "contributing" / "plugin-rules.md").read_text(encoding="utf-8")
    rules = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rules] == list(range(1, 33))
    for _, tests in rules:
        named = re.findall(r"`([\w/.]+)::(\w+)`", tests)
        assert named
        for file, test in named:
            assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), test
