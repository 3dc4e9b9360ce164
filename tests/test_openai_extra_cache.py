"""The parsed form of extra-openai-models.yaml that saves the next start a YAML parser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm.providers.openai import extra_models

YAML = "- model_id: one\n  model_name: m1\n  aliases: [uno]\n  api_base: http://127.0.0.1:9/v1\n"


def models_and_parser(user_path: Path) -> tuple[list[str], bool]:
    """The ids that a new process finds, and whether it imported the parser."""
    code = (
        "import json, sys\n"
        "from llm.providers.openai.extra_models import read_extra_models as read\n"
        "print(json.dumps([[m.model_id for m in read().models], 'yaml' in sys.modules]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LLM_USER_PATH": str(user_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    ids, parsed = json.loads(run.stdout)
    return ids, parsed


def test_second_process_needs_no_yaml_parser(user_path: Path) -> None:
    """What one process parsed the next one reads from the cache."""
    (user_path / "extra-openai-models.yaml").write_text(YAML)
    assert models_and_parser(user_path) == (["one"], True)
    assert models_and_parser(user_path) == (["one"], False)


def test_changed_file_is_parsed_again(user_path: Path) -> None:
    """A file with another time or size is never answered from the cache."""
    path = user_path / "extra-openai-models.yaml"
    path.write_text(YAML)
    models_and_parser(user_path)
    path.write_text(YAML.replace("one", "three"))
    assert models_and_parser(user_path) == (["three"], True)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"of": [], "models": []}', '{"of": 1}'])
def test_damaged_cache_is_passed_over(user_path: Path, content: str) -> None:
    """Nonsense in the cache file costs a parse, nothing else."""
    (user_path / "extra-openai-models.yaml").write_text(YAML)
    models_and_parser(user_path)
    (user_path / "cache" / "extra-openai-models.json").write_text(content)
    assert models_and_parser(user_path) == (["one"], True)


def test_cache_gives_the_same_models(user_path: Path) -> None:
    """The cached form equals the parsed one in every field."""
    (user_path / "extra-openai-models.yaml").write_text(YAML + "  vision: true\n")
    extra_models._read.clear()
    parsed = extra_models.read_extra_models()
    extra_models._read.clear()
    assert extra_models.read_extra_models() == parsed


@pytest.mark.parametrize(
    "extra",
    [
        *("  headers: {X-Key: secret}\n", "- nonsense\n"),
        "- model_id: two\n  api_base: https://secret@host/v1\n",
        "- model_id: two\n  api_base: https://user:secret@host/v1\n",
        "- {model_id: two, embedding: true, api_base: 'https://host/v1?key=secret'}\n",
    ],
)
def test_headers_and_faulty_files_are_not_cached(user_path: Path, extra: str) -> None:
    """Headers may be secret, and a fault has to be told each time: both are parsed anew."""
    (user_path / "extra-openai-models.yaml").write_text(YAML + extra)
    models_and_parser(user_path)
    assert not (user_path / "cache" / "extra-openai-models.json").exists()
    assert models_and_parser(user_path)[1]


def test_cache_of_an_earlier_form_of_the_file_goes(user_path: Path) -> None:
    """A key that an address has got since, or had in an earlier release, is left nowhere."""
    path = user_path / "extra-openai-models.yaml"
    path.write_text(YAML)
    models_and_parser(user_path)
    path.write_text(YAML.replace("//", "//secret@"))
    models_and_parser(user_path)
    assert not (user_path / "cache" / "extra-openai-models.json").exists()


def test_cache_file_is_private(user_path: Path) -> None:
    """The cache names servers of the user: nobody else may read it."""
    (user_path / "extra-openai-models.yaml").write_text(YAML)
    models_and_parser(user_path)
    mode = (user_path / "cache" / "extra-openai-models.json").stat().st_mode
    assert mode & 0o777 == 0o600
