"""Runs inside one of the two environments and prints what it measured as JSON.

`stream MODEL`: processor time in seconds, peak memory in bytes beyond that before the request, and
characters, of one streamed answer of MODEL, a model of `extra-openai-models.yaml`.
`request MODEL TURNS`: seconds to build the request for the last turn of a conversation.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import llm


def memory() -> int:
    """Return the resident memory of this process, in bytes (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def stream(model_id: str) -> dict[str, float]:
    """Return what one streamed answer cost."""
    model = llm.get_model(model_id)
    model.prompt("warm").text()
    before, began = memory(), time.process_time()
    response = model.prompt("hi")
    characters = 0
    for chunk in response:
        characters += len(chunk)
    return {
        "seconds": time.process_time() - began,
        "bytes": memory() - before,
        "characters": characters,
    }


def request(model_id: str, turns: int) -> float:
    """Return the median processor time to build the request for the last turn, in seconds."""
    from llm.parts import assistant, user

    model: Any = llm.get_model(model_id)
    messages = []
    for number in range(turns - 1):
        messages += [user(f"Question {number} " + "word " * 20), assistant("An answer. " * 20)]
    times = []
    for number in range(20):
        response = model.prompt(messages=[*messages, user(f"The last question {number}")])
        began = time.process_time()
        if hasattr(model, "_build_responses_input"):
            fields = model._request(response.prompt, True, response)
        else:
            fields = model._request(response.prompt, True, response, None)
        for piece in model._call("path", fields, None, response.policy).pieces():
            piece.encode()
        times.append(time.process_time() - began)
    return statistics.median(times)


if __name__ == "__main__":
    task, name, *rest = sys.argv[1:]
    if task == "stream":
        print(json.dumps(stream(name)))
    else:
        print(json.dumps(request(name, int(rest[0]))))
