"""From names to models, embedding models, tools and loaders."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import llm
from llm import plugins, registry
from llm.errors import AliasNotFound, ConfigError
from llm.registry import aliases
from llm.text import nearest_names


class Sync(llm.Model):
    """A model that says its name."""

    def __init__(self, model_id: str, **attributes: object) -> None:
        self.model_id = model_id
        vars(self).update(attributes)

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str]:
        yield self.model_id


class Async(llm.AsyncModel):
    """The asynchronous twin."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,
    ) -> AsyncGenerator[str, None]:
        yield self.model_id


class Embedding(llm.EmbeddingModel):
    """An embedding model."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id

    def embed_batch(  # type: ignore[override]
        self, items: Iterable[str | bytes]
    ) -> Iterator[list[float]]:
        return ([1.0] for _ in items)


@pytest.fixture
def models(plugin: Callable[..., ModuleType]) -> None:
    """A plugin with a few models."""

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        register(Sync("one"), Async("one"), aliases=("first", "shared"))
        register(Sync("two"), aliases=["shared"])
        register(None, Async("three"), aliases=["third"])

    @llm.hookimpl
    def register_embedding_models(register: Callable[..., None]) -> None:
        register(Embedding("emb"), aliases=["e", "shared"])
        register(Embedding("emb-2"))

    plugin(
        "test-models",
        register_models=register_models,
        register_embedding_models=register_embedding_models,
    )


def store_aliases(user_path: Path, aliases: object) -> None:
    (user_path / "aliases.json").write_text(json.dumps(aliases))


def entries_of(*model_ids: str) -> list[llm.ModelWithAliases]:
    return [e for e in llm.get_models_with_aliases() if e.model_id in model_ids]


# Models


def test_get_model_by_id_and_alias(models: None) -> None:
    """A model answers to its id and its aliases; of two with one alias the later counts."""
    assert llm.get_model("one").model_id == "one"
    assert llm.get_model("first").model_id == "one"
    assert llm.get_model("shared").model_id == "two"
    assert llm.get_async_model("shared").model_id == "one"
    assert llm.get_model("one") is not llm.get_model("one")


class Wired(Sync):
    """A model that something of its own refers back to."""

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id)
        self.speak = self.execute


@pytest.fixture
def counted(plugin: Callable[..., ModuleType], user_path: Path) -> list[str]:
    """A plugin that keeps the calls of its hook, and registers three kinds of model."""
    calls: list[str] = []
    shared = Sync("shared", answers=[])

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        llm.watch_file(user_path / "counted.txt")
        calls.append("called")
        register(Sync("plain", words=["a"]), Async("plain"), aliases=["p"])
        register(shared)
        register(Wired("wired"))

    plugin("test-counted", register_models=register_models)
    return calls


@pytest.mark.parametrize("get", [llm.get_model, llm.get_async_model])
def test_get_model_asks_the_plugins_twice(
    counted: list[str], get: Callable[[str], llm.Model]
) -> None:
    """Looking a model up again calls no hook, whatever it is called."""
    found = [get(name) for name in ("plain", "p") * 50]
    assert {model.model_id for model in found} == {"plain"}
    assert len(set(map(id, found))) == 100
    assert len(counted) == 2


def test_get_model_keeps_instances_apart(counted: list[str]) -> None:
    """What is changed on one model is not seen on another, unless the plugin has only one."""
    for number in range(4):
        model = llm.get_model("plain")
        words: list[str] = vars(model)["words"]
        assert (model.key, words) == (None, ["a"])
        model.key = f"key {number}"
        words.append("b")
    assert len({id(llm.get_model("shared")) for _ in range(4)}) == 1


def test_get_model_copies_nothing_that_may_refer_back(counted: list[str]) -> None:
    """A model that holds more than plain values is made by its plugin each time."""
    for number in range(1, 5):
        model = llm.get_model("wired")
        assert vars(model)["speak"].__self__ is model
        assert len(counted) == number


def test_get_model_after_a_change(
    counted: list[str], plugin: Callable[..., ModuleType], user_path: Path
) -> None:
    """Plugins are asked again when one comes or goes, and when a file that they watch changes."""
    for _ in range(3):
        llm.get_model("plain")

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        register(Sync("plain", words=["other"]))

    with pytest.raises(llm.UnknownModelError):
        llm.get_model("nobody")
    asked = len(counted)
    plugin("test-later", register_models=register_models)
    llm.get_model("plain")
    assert len(counted) == asked + 1
    plugins.manager().unregister(name="test-later")
    assert vars(llm.get_model("plain"))["words"] == ["a"]
    plugin("test-later", register_models=register_models)
    for _ in range(3):
        llm.get_model("plain")
    asked = len(counted)
    (user_path / "counted.txt").write_text("changed")
    llm.get_model("plain")
    assert len(counted) == asked + 1


def test_get_model_the_other_kind_exists(models: None) -> None:
    """Where only the other kind of model has the name, the message says so."""
    with pytest.raises(llm.UnknownModelError) as caught:
        llm.get_model("third")
    assert str(caught.value) == "Unknown model (async model exists): third"
    assert isinstance(caught.value, KeyError)
    with pytest.raises(llm.UnknownModelError) as caught:
        llm.get_async_model("two")
    assert str(caught.value) == "Unknown async model (sync model exists): two"


@pytest.mark.parametrize("get", [llm.get_model, llm.get_async_model])
def test_get_model_unknown(models: None, get: Callable[[str], object]) -> None:
    """An unknown name is an error that names the nearest ones."""
    with pytest.raises(llm.UnknownModelError) as caught:
        get("!!!!")
    assert str(caught.value) == "Unknown model: !!!!"
    with pytest.raises(llm.UnknownModelError) as caught:
        get("frist")
    assert str(caught.value).startswith("Unknown model: frist - did you mean first")


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("claude-opus-9", "llm-anthropic"),
        ("anthropic/claude-opus-9", "llm-anthropic"),
        ("Gemini-9-pro", "llm-gemini"),
        ("openrouter/openai/gpt-9", "llm-openrouter"),
        ("codestral-latest", "llm-mistral"),
        ("echo", "llm-echo"),
        ("sentence-transformers/all", "llm-sentence-transformers"),
    ],
)
def test_unknown_model_of_a_known_plugin(models: None, name: str, distribution: str) -> None:
    """An unknown model names the well-known plugin that has such names, for embeddings too."""
    remedy = f"A plugin may have it: llm install {distribution}"
    for look_up in (llm.get_model, llm.get_async_model, llm.get_embedding_model):
        with pytest.raises(llm.UnknownModelError) as caught:
            look_up(name)
        assert str(caught.value).endswith(f" {remedy}")


@pytest.mark.parametrize("name", ["echoes", "my-claude-1", "gpt-9", ""])
def test_unknown_model_of_nobody(models: None, name: str) -> None:
    """Other names say nothing about plugins."""
    with pytest.raises(llm.UnknownModelError) as caught:
        llm.get_embedding_model(name)
    assert "plugin" not in str(caught.value)


def test_unknown_model_of_an_installed_plugin(
    models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that is there is not recommended."""
    monkeypatch.setattr(plugins, "_origins", {"anthropic": ("LLM_Anthropic", "1")})
    with pytest.raises(llm.UnknownModelError) as caught:
        llm.get_model("claude-opus-9")
    assert "plugin" not in str(caught.value)


def test_models_listed(models: None) -> None:
    """The lists keep the order of registration and leave out the kind that is missing."""
    ids = ["one", "two", "three"]
    assert [m.model_id for m in llm.get_models() if m.model_id in ids] == ["one", "two"]
    assert [m.model_id for m in llm.get_async_models() if m.model_id in ids] == ["one", "three"]


def test_model_aliases(models: None) -> None:
    """The dicts have every name, and the later registration where there are two."""
    found = llm.get_model_aliases()
    names = {name: found[name].model_id for name in ("one", "two", "first", "shared")}
    assert names == {"one": "one", "two": "two", "first": "one", "shared": "two"}
    assert "third" not in found
    asynchronous = llm.get_async_model_aliases()
    names = {name: asynchronous[name].model_id for name in ("one", "shared", "third", "three")}
    assert names == {"one": "one", "shared": "one", "third": "three", "three": "three"}


def test_user_aliases_are_added(models: None, user_path: Path) -> None:
    """Aliases of the user come after those of the plugin; other values in the file are ignored."""
    store_aliases(user_path, {"mine": "one", "plugin-data": {"model": "one"}, "x": "two"})
    (entry,) = entries_of("one")
    assert entry.aliases == ["first", "shared", "mine"]
    assert llm.get_model("mine").model_id == "one"
    store_aliases(user_path, {"mine": "two"})
    assert llm.get_model("mine").model_id == "two"


def test_corrupt_aliases(models: None, user_path: Path) -> None:
    """A corrupt file of aliases is named where it may be needed; it stops no model that is found
    without it."""
    (user_path / "aliases.json").write_text("{")
    for look_up in (llm.get_models_with_aliases, lambda: llm.get_model("mine")):
        with pytest.raises(ConfigError, match=r"aliases\.json, line 1"):
            look_up()
    assert llm.get_model("one").model_id == "one"


def test_model_aliases_list_is_live(plugin: Callable[..., ModuleType], models: None) -> None:
    """A hook called last may change, add and remove entries."""

    @llm.hookimpl(trylast=True)
    def register_models(
        register: Callable[..., None], model_aliases: list[llm.ModelWithAliases]
    ) -> None:
        found = {entry.model_id: entry for entry in model_aliases}
        found["one"].aliases.append("backwards")
        model_aliases.remove(found["two"])
        model_aliases.append(llm.ModelWithAliases(Sync("added"), None, ["a"]))

    plugin("test-editor", register_models=register_models)
    assert llm.get_model("backwards").model_id == "one"
    assert llm.get_model("a").model_id == "added"
    with pytest.raises(llm.UnknownModelError):
        llm.get_model("two")


def test_look_up_uses_the_package_attribute(models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that replaces the look-up of the package is heeded everywhere."""
    entry = llm.ModelWithAliases(Sync("replaced"), Async("replaced"), ["r"])
    embedding = llm.EmbeddingModelWithAliases(Embedding("other"), ["o"])
    monkeypatch.setattr(llm, "get_models_with_aliases", lambda: [entry], raising=False)
    monkeypatch.setattr(
        llm, "get_embedding_models_with_aliases", lambda: [embedding], raising=False
    )
    assert llm.get_model("r") is entry.model
    assert llm.get_async_model("r") is entry.async_model
    assert llm.get_models() == [entry.model]
    assert llm.get_embedding_model("o") is embedding.model
    assert aliases.resolve_model_id("r") == "replaced"


def test_registering_nothing_is_the_plugins_fault(
    plugin: Callable[..., ModuleType],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An entry with neither kind of model is refused, and the plugin is named."""
    monkeypatch.setattr(plugins, "_faults", {})

    @llm.hookimpl
    def register_models(register: Callable[..., None]) -> None:
        register(None)

    plugin("test-nothing", register_models=register_models)
    llm.get_models()
    assert "Plugin test-nothing failed to load: ValueError" in capsys.readouterr().err


def test_matches() -> None:
    """A query matches a part of an alias, of the displayed name and of the async id."""
    entry = llm.ModelWithAliases(Sync("Some-Id"), Async("twin"), ["Ali"])
    for query in ("ali", "SYNC: SOME", "some-id", "win"):
        assert entry.matches(query)
    assert not entry.matches("other")
    assert llm.ModelWithAliases(None, Async("twin"), []).matches("twin")
    embedding = llm.EmbeddingModelWithAliases(Embedding("Emb"), ["Ali"])
    assert embedding.matches("EMB")
    assert embedding.matches("ali")
    assert not embedding.matches("x")


# The default


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces all registered models."""

    def replace(*models: llm.Model) -> None:
        entries = [llm.ModelWithAliases(model, None, []) for model in models]
        monkeypatch.setattr(llm, "get_models_with_aliases", lambda: entries, raising=False)

    return replace


def default_model() -> Sync:
    return Sync(llm.DEFAULT_MODEL, needs_key="some", key_env_var="SOME_KEY")


def keyless() -> Sync:
    return Sync("here", answers_without_key=True)


def test_default_with_a_key(only: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key the built-in default answers, whatever else is there."""
    only(keyless(), default_model())
    monkeypatch.setenv("SOME_KEY", "x")
    assert registry.resolve_default_model() == llm.DEFAULT_MODEL
    assert llm.get_model().model_id == llm.DEFAULT_MODEL
    assert not registry.nothing_can_answer()


def test_default_without_a_key(only: Callable[..., None]) -> None:
    """Without a key a model that needs none answers; the setting itself stays as it is."""
    only(default_model(), Sync("other"), keyless())
    assert registry.resolve_default_model() == "here"
    assert llm.get_model().model_id == "here"
    assert llm.get_default_model() == llm.DEFAULT_MODEL
    assert not registry.nothing_can_answer()


def test_default_that_nothing_can_answer(only: Callable[..., None]) -> None:
    """Without a key and without such a model it is the built-in default, which then says so."""
    only(default_model(), Sync("other"))
    assert registry.resolve_default_model() == llm.DEFAULT_MODEL
    assert registry.nothing_can_answer()
    with pytest.raises(llm.NeedsKeyException):
        llm.get_model().get_key()


def test_default_chosen_by_the_user(only: Callable[..., None]) -> None:
    """A default that the user has set is never replaced by another model."""
    only(default_model(), Sync("other"), keyless())
    llm.set_default_model("other")
    assert registry.resolve_default_model() == "other"
    assert llm.get_model().model_id == "other"
    assert not registry.nothing_can_answer()


def test_default_not_registered(only: Callable[..., None]) -> None:
    """Where the built-in default is not even registered a model without key answers."""
    only(keyless())
    assert llm.get_model().model_id == "here"
    only()
    with pytest.raises(llm.UnknownModelError, match=llm.DEFAULT_MODEL):
        llm.get_async_model()


# Embedding models


def test_embedding_models(models: None, user_path: Path) -> None:
    """Embedding models are found by id, by alias and by the user's alias."""
    store_aliases(user_path, {"mine": "emb"})
    assert llm.get_embedding_model("emb").model_id == "emb"
    assert llm.get_embedding_model("mine").model_id == "emb"
    assert llm.get_embedding_model_aliases()["e"].model_id == "emb"
    ids = [model.model_id for model in llm.get_embedding_models()]
    assert ids.index("emb") + 1 == ids.index("emb-2")
    (entry,) = [e for e in llm.get_embedding_models_with_aliases() if e.model_id == "emb"]
    assert entry.aliases == ["e", "shared", "mine"]
    with pytest.raises(llm.UnknownModelError, match="Unknown model: ebm - did you mean"):
        llm.get_embedding_model("ebm")


# Aliases


def test_set_alias_resolves(models: None, user_path: Path) -> None:
    """An alias of a chat or embedding model is stored as its id, anything else as it is."""
    llm.set_alias("a", "first")
    llm.set_alias("b", "e")
    llm.set_alias("c", "third")
    llm.set_alias("d", "what-nobody-knows")
    expected = {"a": "one", "b": "emb", "c": "three", "d": "what-nobody-knows"}
    assert (user_path / "aliases.json").read_text() == json.dumps(expected, indent=4) + "\n"


def test_set_alias_keeps_what_plugins_store(models: None, user_path: Path) -> None:
    """Values that are no text stay as they are."""
    store_aliases(user_path, {"opt": {"model": "one", "options": {"t": 1}}})
    llm.set_alias("a", "one")
    llm.remove_alias("a")
    assert json.loads((user_path / "aliases.json").read_text()) == {
        "opt": {"model": "one", "options": {"t": 1}}
    }


def test_remove_alias_failures(user_path: Path) -> None:
    """Removing what is not there is a KeyError that says what is missing."""
    with pytest.raises(AliasNotFound) as caught:
        llm.remove_alias("x")
    assert str(caught.value) == "No aliases.json file exists"
    store_aliases(user_path, {"a": "one"})
    with pytest.raises(KeyError) as key_error:
        llm.remove_alias("x")
    assert str(key_error.value) == "No such alias: x"
    (user_path / "aliases.json").write_text("broken")
    with pytest.raises(ConfigError, match="line 1"):
        llm.remove_alias("a")
    assert (user_path / "aliases.json").read_text() == "broken"


def test_nearest_names() -> None:
    """The nearest names come first, then those that contain the word; three at most."""
    names = ["gpt-4o", "gpt-4o-mini", "claude-opus", "anthropic/Claude-sonnet-long-name"]
    assert nearest_names("GPT-4p", names) == ["gpt-4o"]
    assert nearest_names("claude", names)[-1] == "anthropic/Claude-sonnet-long-name"
    assert nearest_names("zz", names) == []
    assert len(nearest_names("aaa", [f"aaa{n}" for n in range(9)])) == 3


# Tools and loaders


def test_tools_registered(plugin: Callable[..., ModuleType]) -> None:
    """Functions, tools and toolboxes are registered by name, with the plugin they come from."""

    class Box(llm.Toolbox):
        name = "overwritten"

        def a(self) -> str:
            return "x"

    def same() -> None:
        """Something."""

    @llm.hookimpl
    def register_tools(register: Callable[..., None]) -> None:
        register(same)
        register(same)
        register(Box)
        register(Box, name="Nice")
        register(llm.Tool("kept", "d", {}, same))
        register(llm.Tool("x", "d", {}, same), name="renamed")
        register(lambda: 1, name="same")

    plugin("test-tools", register_tools=register_tools)
    tools = llm.get_tools()
    ours = {name: tool for name, tool in tools.items() if tool.plugin == "test-tools"}
    assert list(ours) == ["same", "same_1", "Box", "Nice", "kept", "renamed", "same_2"]
    assert ours["Box"] is Box
    assert Box.name == "Nice"
    assert ours["renamed"].name == "renamed"
    assert isinstance(ours["same"], llm.Tool)
    assert ours["same"].description == "Something."
    assert tools["llm_time"].plugin == "llm.default_plugins.default_tools"


def test_toolbox_class_must_be_one(
    plugin: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class that is no toolbox is refused."""

    class Wrong:
        pass

    @llm.hookimpl
    def register_tools(register: Callable[..., None]) -> None:
        register(Wrong)

    monkeypatch.setenv("LLM_RAISE_ERRORS", "1")
    plugin("test-wrong", register_tools=register_tools)
    with pytest.raises(TypeError, match=r"must inherit from llm\.Toolbox, Wrong does not"):
        llm.get_tools()


def test_loaders_registered(plugin: Callable[..., ModuleType]) -> None:
    """Loaders are registered by prefix; a prefix that is taken gets a number."""

    @llm.hookimpl
    def register_template_loaders(register: Callable[..., None]) -> None:
        register("t", str)

    @llm.hookimpl
    def register_fragment_loaders(register: Callable[..., None]) -> None:
        register("f", str)
        register("f", int)
        register("f", len)

    plugin(
        "test-loaders",
        register_template_loaders=register_template_loaders,
        register_fragment_loaders=register_fragment_loaders,
    )
    assert dict[str, object](llm.get_template_loaders()) == {"t": str}
    loaders = llm.get_fragment_loaders()
    assert list(loaders) == ["f", "f_1", "f_2", "dir", "cmd", "similar"]
    assert list(loaders.values())[:3] == [str, int, len]
