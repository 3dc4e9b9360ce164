"""The catalog of OpenAI models, and the models that the user adds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import llm
from llm.default_plugins.openai_models import Chat, Completion, OpenAIEmbeddingModel
from llm.providers.openai import extra_models
from llm.text import JSONObject

EXPECTED = json.loads((Path(__file__).parent / "data/openai-models-v0.36.json").read_text())


def openai_entries() -> list[llm.ModelWithAliases]:
    """The entries that come from the OpenAI provider."""
    return [e for e in llm.get_models_with_aliases() if str(e.shown).startswith("OpenAI ")]


def write_extra(user_path: Path, text: str) -> None:
    """Write `extra-openai-models.yaml`."""
    (user_path / "extra-openai-models.yaml").write_text(text, encoding="utf-8")


def described(entry: llm.ModelWithAliases) -> dict[str, object]:
    """An entry in the form of the expected list."""
    model = entry.model
    assert model is not None
    return {
        "model_id": model.model_id,
        "aliases": entry.aliases,
        "can_stream": model.can_stream,
        "supports_schema": model.supports_schema,
        "supports_tools": model.supports_tools,
        "supports_conversation": model.supports_conversation,
        "supports_async": entry.async_model is not None,
        "attachment_types": sorted(model.attachment_types),
        "server_side_tools": [
            {"name": tool.__name__, "plugin": None} for tool in model.supported_server_side_tools
        ],
    }


def test_models_are_those_of_the_released_version() -> None:
    """Ids, aliases, order and abilities are the same as in 0.36."""
    wanted = [{k: v for k, v in m.items() if k != "options_set"} for m in EXPECTED["models"]]
    assert [described(entry) for entry in openai_entries()] == wanted


@pytest.mark.parametrize("wanted", EXPECTED["models"], ids=lambda m: m["model_id"])
def test_options_have_the_fields_and_limits_of_the_released_version(wanted: JSONObject) -> None:
    """Each model's options have the same names, types, limits and choices as in 0.36."""
    models = (entry.model for entry in openai_entries())
    found = next(model for model in models if model and model.model_id == wanted["model_id"])
    schema = found.Options.model_json_schema()
    definitions = schema.get("$defs", {})

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                value = definitions[value["$ref"].rpartition("/")[2]]
            return {k: plain(v) for k, v in value.items() if k not in ("title", "description")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    expected = EXPECTED["options_sets"][wanted["options_set"]]
    assert plain(schema["properties"]) == plain(expected)


def test_listing_models_imports_nothing_heavy() -> None:
    """Registering the models needs no pydantic, YAML, HTTP client or SDK."""
    code = (
        "import sys, llm; llm.get_models_with_aliases(); llm.get_embedding_models();"
        "print([m for m in ('pydantic','yaml','openai','httpx2','asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_show_the_api() -> None:
    """The displayed name says which of the APIs a model speaks."""
    names = [str(entry.model) for entry in openai_entries()]
    assert "OpenAI Chat: gpt-4o" in names
    assert "OpenAI Completion: gpt-3.5-turbo-instruct" in names
    assert str(llm.get_async_model("gpt-4o")) == "OpenAI Chat: gpt-4o"


def test_instances_are_independent() -> None:
    """A key set on one instance is not seen by the next look-up."""
    llm.get_model("4o").key = "mine"
    assert llm.get_model("4o").key is None


def test_embedding_models_have_their_aliases() -> None:
    """The six embedding models are there with dimensions and aliases."""
    found = {e.model.model_id: e for e in llm.get_embedding_models_with_aliases()}
    assert vars(found["text-embedding-3-small-512"].model)["dimensions"] == 512
    assert found["text-embedding-ada-002"].aliases == ["ada", "ada-002"]
    assert len(found) >= 6


def test_extra_model_takes_every_setting(user_path: Path) -> None:
    """Each key of an entry reaches the model."""
    write_extra(
        user_path,
        """
- model_id: mine
  model_name: their-name
  aliases: [m, 4]
  api_base: http://localhost:9/v1
  api_version: "7"
  api_engine: eng
  api_type: open_ai
  headers: {X-A: 1}
  can_stream: false
  supports_schema: true
  supports_tools: true
  vision: true
  audio: true
  reasoning: true
  service_tier: true
""",
    )
    model = llm.get_model("m")
    assert isinstance(model, Chat)
    assert llm.get_model("4").model_id == "mine"
    assert (model.model_id, model.model_name) == ("mine", "their-name")
    assert (model.api_base, model.api_version, model.api_engine, model.api_type) == (
        "http://localhost:9/v1",
        "7",
        "eng",
        "open_ai",
    )
    assert model.headers == {"X-A": "1"}
    assert (model.can_stream, model.supports_schema, model.supports_tools) == (False, True, True)
    assert {"image/png", "audio/wav"} <= set(model.attachment_types)
    assert {"reasoning_effort", "service_tier"} <= set(model.Options.model_fields)
    assert llm.get_async_model("mine").can_stream is False


def test_extra_model_of_another_kind(user_path: Path) -> None:
    """`completion` and `embedding` choose other classes; switches need a literal true."""
    write_extra(
        user_path,
        """
- model_id: old
  completion: true
  api_base: http://localhost:9/v1
- model_id: vectors
  model_name: e5
  embedding: true
  dimensions: 64
  api_base: http://localhost:9/v1
  headers: {X-A: b}
- model_id: plain
  supports_tools: "yes"
  aliases: p
""",
    )
    old = llm.get_model("old")
    assert isinstance(old, Completion)
    assert str(old) == "OpenAI Completion: old"
    assert old.continues_as_text
    assert old.default_max_tokens is None
    assert "logprobs" in old.Options.model_fields
    vectors = llm.get_embedding_model("vectors")
    assert isinstance(vectors, OpenAIEmbeddingModel)
    assert (vectors.openai_model_id, vectors.dimensions) == ("e5", 64)
    assert vectors.headers == {"X-A": "b"}
    assert vectors.needs_key is None
    assert llm.get_model("p").supports_tools is False
    with pytest.raises(llm.UnknownModelError):
        llm.get_model("vectors")


def test_extra_completion_with_abilities_has_their_options(user_path: Path) -> None:
    """`completion` with `reasoning` has the options that come with it."""
    write_extra(user_path, "- {model_id: old, completion: true, reasoning: true}")
    assert "reasoning_effort" in llm.get_model("old").Options.model_fields


def test_extra_model_without_name_is_asked_for_by_id(user_path: Path) -> None:
    """`model_name` falls back to `model_id`."""
    write_extra(user_path, "- {model_id: mine, api_base: 'http://localhost:9/v1'}")
    model = llm.get_model("mine")
    assert isinstance(model, Chat)
    assert model.model_name == "mine"


def test_extra_model_key_never_comes_from_openai(
    user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of another server needs its own key or none, never that of OpenAI."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    write_extra(
        user_path,
        """
- {model_id: local, api_base: 'http://localhost:9/v1'}
- {model_id: named, api_base: 'http://localhost:9/v1', api_key_name: other}
- {model_id: tuned}
""",
    )
    assert llm.get_model("local").get_key() is None
    with pytest.raises(llm.NeedsKeyException, match=r"llm keys set other'$"):
        llm.get_model("named").get_key()
    assert llm.get_model("tuned").get_key() == "sk-of-openai"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- model_id: ]", "line 1: not valid YAML"),
        ("a: b", "line 1: not a list of models"),
        ("- just text", "line 1: an entry is not a mapping"),
        ("\n- model_name: x", "line 2: model_id is missing"),
        ("- model_id: {a: b}", "line 1: model_id is missing or not a text"),
        ("- model_id: x\n  aliases: {a: b}", "line 2: aliases of x is not a list"),
        ("- model_id: x\n  headers: 5", "line 2: headers of x is not a mapping"),
        ("- model_id: x\n\n  api_base: [1]", "line 3: api_base of x is not a text"),
        ("- {model_id: x, dimensions: big}", "line 1: dimensions of x is not a number"),
        ("- model_id: !!python/object:os.system x", "not valid YAML"),
        ("- model_id: \ud800x".encode("utf-8", "surrogatepass"), "not valid UTF-8"),
        ("- model_id: 2024-99-99", "not valid YAML"),
        (
            "- model_id: x\n  api_bas: u",
            "line 2: x has the unknown key api_bas - did you mean api_base",
        ),
        (
            "- model_id: x\n  base_url: u",
            "line 2: x has the unknown key base_url - did you mean api_",
        ),
        (
            "- model_id: x\n  Vision: true",
            "line 2: x has the unknown key Vision - did you mean vision",
        ),
        (
            "- model_id: x\n  api_key: sk-1",
            "line 2: x has the unknown key api_key - did you mean api_",
        ),
        ("- model_id: x\n  note: mine", "line 2: x has the unknown key note. It is ignored"),
        ("- model_id: x\n  12: mine", "line 2: x has the unknown key 12. It is ignored"),
        ("- model_id: x\n  vision: maybe", "line 2: vision of x is neither true nor false"),
        ("- model_id: x\n  can_stream: 0", "line 2: can_stream of x is neither true nor false"),
    ],
)
def test_extra_file_problem_costs_one_line(
    user_path: Path, capsys: pytest.CaptureFixture[str], text: str | bytes, problem: str
) -> None:
    """What is wrong is told once, with file and line; all other models are there."""
    data = text if isinstance(text, bytes) else text.encode()
    (user_path / "extra-openai-models.yaml").write_bytes(data)
    assert llm.get_model("gpt-4o").model_id == "gpt-4o"
    assert llm.get_embedding_model("ada")
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert problem in told[0]
    assert "extra-openai-models.yaml" in told[0]


def test_extra_entry_with_a_slip_in_a_key_is_left_out(user_path: Path) -> None:
    """Without its address the model would be one of OpenAI's; what nobody can have meant is passed
    over, as 0.36 does."""
    write_extra(user_path, "- {model_id: slip, api_bas: u}\n- {model_id: noted, note: mine}")
    with pytest.raises(llm.UnknownModelError):
        llm.get_model("slip")
    assert llm.get_model("noted").model_id == "noted"


def test_extra_file_good_entries_survive_bad_ones(
    user_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry that cannot be used does not take its neighbours with it."""
    write_extra(user_path, "- {model_id: one}\n- {model_name: two}\n- {model_id: three}")
    assert llm.get_model("one")
    assert llm.get_model("three")
    assert "line 2" in capsys.readouterr().err


def test_extra_file_empty_is_no_problem(
    user_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty file, or one with comments only, adds nothing and says nothing."""
    write_extra(user_path, "# nothing here\n")
    assert llm.get_model("gpt-4o")
    assert capsys.readouterr().err == ""


def test_extra_file_changes_are_seen(user_path: Path) -> None:
    """A file that changed is read again, one that did not is not."""
    write_extra(user_path, "- {model_id: one}")
    assert extra_models.read_extra_models() is extra_models.read_extra_models()
    write_extra(user_path, "- {model_id: another}")
    assert llm.get_model("another")
