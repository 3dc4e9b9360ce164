"""A plugin to begin with: a model behind an HTTP API, with a test that passes."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from ..errors import InvalidInput, LLMError

# The plugin of docs/plugins/tutorial.md; the name of the new one takes the place of `parrot`.
_FILES = {
    "pyproject.toml": """\
[project]
name = "llm-parrot"
version = "0.1"
description = "Models of the parrot API, for llm"
requires-python = ">=3.10"
dependencies = ["llm", "requests"]

[project.optional-dependencies]
test = ["pytest", "requests-mock"]

[project.entry-points.llm]
parrot = "llm_parrot"

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
py-modules = ["llm_parrot"]
""",
    "llm_parrot.py": '''\
"""Models of the parrot API, for llm."""

import json

import llm
import requests

URL = "https://parrot.example.com/v1/chat"


class Options(llm.Options):
    temperature: float | None = None


class Parrot(llm.KeyModel):
    model_id = "parrot"
    can_stream = True
    needs_key = "parrot"
    key_env_var = "PARROT_KEY"
    Options = Options

    def execute(self, prompt, stream, response, conversation, key):
        body = {
            "model": self.model_id,
            "stream": stream,
            "messages": [{"role": one.role, "text": one.text()} for one in prompt.messages],
        }
        if prompt.options.temperature is not None:
            body["temperature"] = prompt.options.temperature
        request = {"json": body, "headers": {"Authorization": f"Bearer {key}"}}
        try:
            with requests.post(URL, **request, stream=stream, timeout=60) as answer:
                check(answer)
                # Each line is a JSON object: a piece of text, or at the end what it cost.
                for line in filter(None, answer.iter_lines()):
                    event = json.loads(line)
                    if "usage" in event:
                        response.set_usage(**event["usage"])
                    else:
                        yield event["text"]
        except requests.RequestException as error:
            raise llm.ConnectionLost(f"The connection to {URL} was lost: {error}") from error


def check(answer):
    if answer.status_code in (401, 403):
        raise llm.AuthError("The key was refused. Store another one: llm keys set parrot")
    if not answer.ok:
        raise llm.ModelError(f"{URL} answered {answer.status_code}: {answer.text[:200]}")


@llm.hookimpl
def register_models(register):
    register(Parrot())
''',
    "test_llm_parrot.py": '''\
import llm
import pytest
import requests
from llm.testing import check_model, run_cli

import llm_parrot

ANSWER = """\\
{"text": "Hello"}
{"text": " there"}
{"usage": {"input": 3, "output": 2}}
"""


@pytest.fixture(autouse=True)
def api(requests_mock, monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("PARROT_KEY", "secret")
    requests_mock.post(llm_parrot.URL, text=ANSWER)
    return requests_mock


def test_answer(api):
    response = llm.get_model("parrot").prompt("hi", system="Be brief", temperature=0.5)
    assert response.text() == "Hello there"
    assert response.usage().output == 2
    assert api.last_request.headers["Authorization"] == "Bearer secret"
    assert api.last_request.json() == {
        "model": "parrot",
        "stream": True,
        "temperature": 0.5,
        "messages": [{"role": "system", "text": "Be brief"}, {"role": "user", "text": "hi"}],
    }


def test_model_does_what_is_expected():
    assert check_model("parrot", options={"temperature": 0.5}) == []


def test_command():
    assert run_cli("-m", "parrot", "hi").output == "Hello there\\n"


def test_errors(api):
    model = llm.get_model("parrot")
    api.post(llm_parrot.URL, status_code=401)
    with pytest.raises(llm.AuthError, match="llm keys set parrot"):
        model.prompt("hi").text()
    api.post(llm_parrot.URL, status_code=500, text="out of order")
    with pytest.raises(llm.ModelError, match="500: out of order"):
        model.prompt("hi").text()
    api.post(llm_parrot.URL, exc=requests.ConnectionError("gone"))
    with pytest.raises(llm.ConnectionLost, match="gone"):
        model.prompt("hi").text()
''',
}


def write_plugin(name: str, parent: Path) -> Path:
    """Write a plugin into a new folder `llm-NAME`, all of it or nothing.

    Args:
        name: The name of its model; `llm-` in front of it is left out.
        parent: Where the folder is made.

    Returns:
        The folder.

    Raises:
        InvalidInput: The name is none for a plugin.
        LLMError: The folder is there already, or cannot be made.
    """
    name = name.removeprefix("llm-")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise InvalidInput(
            f"{name!r} is no name for a plugin: it has small letters, digits and single hyphens, "
            "and begins with a letter, such as llm-parrot"
        )
    folder = parent / f"llm-{name}"
    if folder.exists():
        raise LLMError(f"{folder} is there already. Choose another name, or move it away")
    try:
        with tempfile.TemporaryDirectory(dir=parent) as made:
            unfinished = Path(made, folder.name)
            unfinished.mkdir()
            for file, text in _FILES.items():
                path = unfinished / _renamed(file, name)
                path.write_text(_renamed(text, name), encoding="utf-8")
            os.replace(unfinished, folder)
    except OSError as error:
        raise LLMError(f"Cannot make {folder}: {error.strerror or error}") from error
    return folder


def _renamed(text: str, name: str) -> str:
    """The text with another name; as part of a Python name it has underscores."""
    module = name.replace("-", "_")
    forms = {
        "llm_parrot": f"llm_{module}",
        "PARROT": module.upper(),
        "Parrot": "".join(map(str.capitalize, name.split("-"))),
        "parrot": name,
    }
    return re.sub("|".join(forms), lambda found: forms[found[0]], text)
