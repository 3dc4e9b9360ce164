"""`similar:` and loaders of plugins that go by the prompt: what is found, when, and in a chat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

import llm
from llm.cli import cli
from llm.embeddings.collection import Collection
from llm.files.config import embeddings_db
from llm.hookspecs import FragmentContext
from tests.helpers.content import registered
from tests.helpers.databases import plugin_of_the_data

TEXTS = {"reset": "hold the red button", "buy": "pay at the desk", "eat": "lunch at noon"}


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with registered(), plugin_of_the_data():
        yield


@pytest.fixture
def notes(user_path: Path) -> None:
    """A collection of three texts, each nearest to itself."""
    with Collection("notes", embeddings_db(), model_id="fe") as collection:
        collection.embed_multi(TEXTS.items(), store=True)


@pytest.fixture
def contexts(plugin: Callable[..., ModuleType]) -> list[FragmentContext]:
    """What the loaders `seen:` and `only:` of a plugin were given, in order."""
    seen: list[FragmentContext] = []

    def loader(rest: str, context: FragmentContext) -> Any:
        if rest == "bad":
            raise ValueError("nope")
        seen.append(context)
        found: list[Any] = [llm.Fragment(f"{rest} for {context.prompt}", f"seen:{rest}")]
        if rest == "file":
            found.append(llm.Attachment(content=b"%PDF-1.4 x", type="application/pdf"))
        return found

    def only(rest: str, *, context: FragmentContext) -> str:
        return f"only {rest}"

    @llm.hookimpl
    def register_fragment_loaders(register: Callable[..., None]) -> None:
        register("seen", loader)
        register("only", only)

    plugin("seeing", register_fragment_loaders=register_fragment_loaders)
    return seen


def run(*args: str, stdin: str = "", code: int = 0) -> Result:
    """The result of a command that ends with `code`."""
    result = CliRunner(env={"LLM_MODEL": "tell"}).invoke(cli, list(args), input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def sent(*args: str, stdin: str = "") -> list[str]:
    """The texts of the messages that the model was given."""
    told = json.loads(run(*args, stdin=stdin).stdout)
    return [text for _, text in told["messages"]]


@pytest.mark.usefixtures("notes")
def test_nearest_texts_go_before_the_prompt() -> None:
    """The entries come nearest first, each under its id, at the place of the fragment."""
    Path("seen.txt").write_text("last")
    [text] = sent("-f", "similar:notes?n=1", "-f", "seen.txt", TEXTS["buy"])
    assert text == f"buy\n---\n{TEXTS['buy']}\n---\n\nlast\n{TEXTS['buy']}"
    result = run("-f", "similar:notes", TEXTS["eat"])
    assert result.stderr.startswith("similar:notes: eat, ")
    assert result.stderr.endswith(f" ({sum(map(len, TEXTS.values()))} characters)\n")


@pytest.mark.usefixtures("notes")
def test_nearest_texts_are_logged_as_fragments() -> None:
    """Each is a fragment whose source says where it comes from."""
    run("-f", "similar:notes?n=2", TEXTS["reset"])
    stored = json.loads(run("fragments", "list", "--json").stdout)
    assert "similar:notes#reset" in {fragment["source"] for fragment in stored}
    assert len(stored) == 2


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize(
    ("settings", "count"), [("", 3), ("?n=2", 2), ("?chars=20", 1), ("?prefix=r", 1), ("?n=0", 0)]
)
def test_settings_bound_what_is_sent(settings: str, count: int) -> None:
    """So many entries at most, so many characters, and those that a filter lets through."""
    [text] = sent("-f", f"similar:notes{settings}", TEXTS["reset"])
    assert text.count("\n---\n") == 2 * count


@pytest.mark.usefixtures("notes")
def test_template_and_standard_input_are_what_is_compared() -> None:
    """The text that counts is the one that is sent: what is piped in, in its template."""
    run("--save", "ask", "-f", "similar:notes?n=1", "$input desk")
    [text] = sent("-t", "ask", stdin="pay at the")
    assert text.startswith("buy\n---\n")


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-f", "similar:nosuch", "x"], "there is no collection 'nosuch'"),
        (["-f", "similar:notes?n=many", "x"], "n is a number, not 'many'"),
        (["-f", "similar:notes?m=1", "x"], "'m' is no setting"),
        (["-f", "similar:notes?chars=3", "x"], "that may be sent: chars=NUMBER allows more"),
        (["-f", "similar:notes"], "similar:notes is found by the text of a prompt"),
        (["fragments", "show", "similar:notes"], "is found by the text of a prompt"),
        (["fragments", "set", "name", "similar:notes"], "is found by the text of a prompt"),
        (["logs", "-f", "similar:notes"], "is found by the text of a prompt"),
    ],
)
def test_what_cannot_be_found_is_one_line(arguments: list[str], problem: str) -> None:
    """The fault is told with its name, and nothing is sent."""
    run("x")
    result = run(*arguments, code=1)
    assert problem in result.stderr
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)


def test_collection_without_its_texts_is_an_error() -> None:
    """Vectors alone cannot be sent: the message says how the texts are kept."""
    with Collection("bare", embeddings_db(), model_id="fe") as collection:
        collection.embed("a", "text")
    result = run("-f", "similar:bare", "x", code=1)
    assert "the text of 'a' was not kept: put it into the collection with --store" in result.stderr


def test_variable_names_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`LLM_EMBEDDINGS_DB` counts here as it does for `llm similar`."""
    monkeypatch.setenv("LLM_EMBEDDINGS_DB", str(tmp_path / "other.db"))
    with Collection("notes", tmp_path / "other.db", model_id="fe") as collection:
        collection.embed("a", "text", store=True)
    [text] = sent("-f", "similar:notes", "x")
    assert text == "a\n---\ntext\n---\n\nx"


@pytest.mark.usefixtures("notes")
def test_chat_looks_anew_at_each_turn() -> None:
    """Each prompt of a chat gets what is nearest to it; other fragments go with the first."""
    Path("rules.txt").write_text("rules")
    lines = f"{TEXTS['buy']}\n{TEXTS['eat']}\n!fragment similar:notes?n=1\nexit\n"
    result = run("chat", "-f", "similar:notes?n=1", "-f", "rules.txt", stdin=lines)
    answers = [json.loads(line) for line in result.stdout.replace("> ", "").split("\n")[6:8]]
    first, second = (answer["messages"][-1][1] for answer in answers)
    assert first == f"buy\n---\n{TEXTS['buy']}\n---\n\nrules\n{TEXTS['buy']}"
    assert second == f"eat\n---\n{TEXTS['eat']}\n---\n\n{TEXTS['eat']}"
    assert "similar:notes?n=1 is found by the text of a prompt" in result.stderr


def test_loader_of_a_plugin_is_given_prompt_and_history(contexts: list[FragmentContext]) -> None:
    """A second parameter `context` brings the final text and the messages before it."""
    assert sent("-f", "seen:a", "-f", "only:b", "-f", "fl:c", "one")[-1] == (
        "a for one\nonly b\ntext c\none"
    )
    run("-c", "-f", "seen:file", "--sf", "seen:s", "two")
    assert [context.prompt for context in contexts] == ["one", "two", "two"]
    assert contexts[0].history == []
    assert [message.role for message in contexts[1].history] == ["user", "assistant"]


def test_loader_of_a_plugin_is_called_before_anything_is_sent(
    contexts: list[FragmentContext],
) -> None:
    """Its fault, and an attachment for a system prompt, end the command with nothing logged."""
    assert "Could not load fragment seen:bad: nope" in run("-f", "seen:bad", "x", code=1).stderr
    assert "disallowed attachment" in run("--sf", "seen:file", "x", code=1).stderr
    assert json.loads(run("logs", "list", "--json").stdout) == []


def test_chat_keeps_a_system_prompt_whole(contexts: list[FragmentContext]) -> None:
    """A system prompt of which a part goes by the prompt is made whole at each turn."""
    Path("rules.txt").write_text("rules")
    result = run("chat", "--sf", "rules.txt", "--sf", "seen:s", "-s", "S", stdin="one\ntwo\n")
    answers = [json.loads(line) for line in result.stdout.replace("> ", "").split("\n")[6:8]]
    systems = [
        [text for role, text in answer["messages"] if role == "system"][-1] for answer in answers
    ]
    assert systems == ["rules\n\ns for one\n\nS", "rules\n\ns for two\n\nS"]
