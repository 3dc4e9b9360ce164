"""Tools with a real model behind a real server: the loop ends, whatever the model says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from llm.cli import cli

from .helpers.serve_model import running_server

CODE = """
def get_weather(city: str) -> str:
    "Get the weather of a city"
    return f"It is sunny in {city}."
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of the server."""
    with running_server() as url:
        yield url


@pytest.mark.parametrize("flags", [[], ["--no-stream"], ["--async"], ["--async", "--no-stream"]])
def test_real_model_completes_the_loop(server: str, user_path: Path, flags: list[str]) -> None:
    """The model calls the function with arguments of the right shape, and answers its result."""
    (user_path / "extra-openai-models.yaml").write_text(
        f"- model_id: small\n  model_name: smollm2\n  api_base: {server}\n  supports_tools: true\n"
    )
    result = CliRunner().invoke(
        cli,
        [
            *("-m", "small", "Call get_weather for London", "--functions", CODE),
            *("-o", "temperature", "0", "--td", *flags),
        ],
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip()
    assert "Tool call: get_weather(" in result.stderr
    records = json.loads(CliRunner().invoke(cli, ["logs", "-n", "0", "--json"]).stdout)
    calls = [call for record in records for call in record["tool_calls"]]
    results = [result for record in records for result in record["tool_results"]]
    assert len(records) >= 2
    assert {call["name"] for call in calls} == {"get_weather"}
    assert isinstance(calls[0]["arguments"]["city"], str)
    assert [call["tool_call_id"] for call in calls] == [item["tool_call_id"] for item in results]
    assert results[0]["output"].startswith("It is sunny in ")
    assert records[-1]["tool_calls"] == []
