"""The list of local models in the user directory."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

import llm
from llm.default_plugins import local as plugin
from llm.errors import ConfigError, InvalidInput, ModelError, NotFound
from llm.providers import local
from llm.providers.local import store
from llm.providers.local.store import InstalledModel


def write_gguf(path: Path, size_bytes: int = 64) -> Path:
    """A file that begins as a model does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF".ljust(size_bytes, b"\0"))
    return path


def installed(name: str, path: Path, **values: object) -> InstalledModel:
    """A registered model."""
    model = InstalledModel(name=name, path=path, is_owned=False, size_bytes=64, **values)  # type: ignore[arg-type]
    store.register(model)
    return model


def test_models_without_list_are_none(user_path: Path) -> None:
    """Asking for the models neither fails nor creates anything where none was ever added."""
    assert store.installed_models() == []
    assert not local.local_dir().exists()


def test_models_come_back_as_registered(user_path: Path, tmp_path: Path) -> None:
    """Everything that is known of a model survives the file."""
    model = installed(
        "a",
        tmp_path / "a.gguf",
        sha256="00",
        source="http://127.0.0.1/a",
        aliases=("b",),
        options={"temperature": 0.5},
    )
    assert store.installed_models() == [model]
    assert model.model_id == "local/a"


def test_models_that_are_ours_move_with_the_user_directory(user_path: Path) -> None:
    """A file of ours is written without its folder."""
    model = InstalledModel(name="a", path=store.owned_path("a"), is_owned=True, size_bytes=1)
    store.register(model)
    assert json.loads(local.list_path().read_text())["models"]["a"]["file"] == "a.gguf"
    assert store.installed_models() == [model]


def test_models_list_the_default_first(user_path: Path, tmp_path: Path) -> None:
    """The installed default comes first, the others as they were added."""
    for name in ("z", "a", store.DEFAULT_NAME):
        installed(name, tmp_path / "x.gguf")
    assert [model.name for model in store.installed_models()] == [store.DEFAULT_NAME, "z", "a"]


def test_unregister_keeps_the_others(user_path: Path, tmp_path: Path) -> None:
    """Only the named model leaves the list, and an unknown name changes nothing."""
    installed("a", tmp_path / "a.gguf")
    installed("b", tmp_path / "b.gguf")
    store.unregister("a")
    store.unregister("nobody")
    assert [model.name for model in store.installed_models()] == ["b"]


@pytest.mark.parametrize("content", ['{"models": []}', '{"models": {"a": {}}}', '{"models": '])
def test_models_with_damaged_list_name_the_file(user_path: Path, content: str) -> None:
    """A list that cannot be read is an error that names the file."""
    local.local_dir().mkdir()
    local.list_path().write_text(content)
    with pytest.raises(ConfigError, match=r"models\.json"):
        store.installed_models()


@pytest.mark.parametrize("name", ["a", "local/a", "nick"])
def test_find_model_takes_name_id_and_alias(user_path: Path, tmp_path: Path, name: str) -> None:
    """A model is found by each of its names."""
    installed("other", tmp_path / "o.gguf")
    installed("a", tmp_path / "a.gguf", aliases=("nick",))
    assert store.find_model(name).name == "a"


def test_find_model_that_is_missing_lists_the_others(user_path: Path, tmp_path: Path) -> None:
    """The error for an unknown name tells which there are."""
    with pytest.raises(NotFound, match=r"'x'\. Installed: none"):
        store.find_model("x")
    installed("a", tmp_path / "a.gguf")
    with pytest.raises(NotFound, match="Installed: a"):
        store.find_model("x")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_new_name_that_is_no_file_name_is_refused(user_path: Path, name: str) -> None:
    """No name can reach out of the folder."""
    with pytest.raises(InvalidInput, match="cannot be the name"):
        store.check_new_name(name)


def test_new_name_that_is_taken_is_refused(user_path: Path, tmp_path: Path) -> None:
    """Names differ by more than case, and the error tells how to replace a model."""
    installed("Qwen", tmp_path / "q.gguf")
    with pytest.raises(InvalidInput, match="llm local remove qwen"):
        store.check_new_name("qwen")
    store.check_new_name("qwen-2")


def test_check_gguf_gives_the_size(tmp_path: Path) -> None:
    """A file that begins as a model does is taken."""
    assert store.check_gguf(write_gguf(tmp_path / "a.gguf", 100)) == 100


def test_check_gguf_refuses_other_files(tmp_path: Path) -> None:
    """A web page saved under the name of a model is found out."""
    page = tmp_path / "a.gguf"
    page.write_text("<html>")
    with pytest.raises(ModelError, match="is not a GGUF model file"):
        store.check_gguf(page)
    with pytest.raises(ModelError, match="Cannot read"):
        store.check_gguf(tmp_path / "missing.gguf")


def test_registered_models_are_models_of_llm(user_path: Path, tmp_path: Path) -> None:
    """A local model is there under its id and its aliases, sync and async, for who has no key."""
    installed("a", tmp_path / "a.gguf", aliases=("nick",))
    model = llm.get_model("nick")
    assert model.model_id == llm.get_async_model("local/a").model_id == "local/a"
    assert str(model) == "Local: local/a"
    assert model.answers_without_key
    assert model.supports_schema
    assert not model.supports_tools
    assert not model.attachment_types
    assert llm.get_model().model_id == "local/a"


def test_plugin_without_models_registers_none(user_path: Path) -> None:
    """Where nothing is installed there is no local model, and no fault."""
    registered: list[object] = []
    plugin.register_models(registered.append)  # type: ignore[arg-type]  # never called
    assert registered == []


def test_plugin_adds_its_commands(user_path: Path) -> None:
    """Every program that collects the commands of plugins finds the group."""
    group = click.Group()
    plugin.register_commands(group)
    assert set(group.commands["local"].commands) == {"install", "add", "list", "remove", "path"}  # type: ignore[attr-defined]


def test_options_have_limits_and_no_defaults(user_path: Path, tmp_path: Path) -> None:
    """The options are those documented; each is open until somebody sets it."""
    installed("a", tmp_path / "a.gguf")
    options = llm.get_model("local/a").Options
    assert set(options.model_fields) == {
        *("temperature", "max_tokens", "top_p", "seed", "threads", "context")
    }
    assert all(value is None for _, value in options())
    with pytest.raises(ValueError, match="less than or equal to 2"):
        options(temperature=3)
