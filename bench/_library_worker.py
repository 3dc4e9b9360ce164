"""Runs inside one of the two environments and prints what it measured of the library as JSON.

`turn N`: processor time in seconds of the Nth turn of one conversation; `streams N`: of N streams
that an event loop reads at the same time; `growing KIND`: of reading 130 kB of JSON in 33,000
pieces with `stream_objects`, `plain` or `typed`; `memory N`: bytes that N prompts leave behind.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import llm

PIECES_OF_STREAM = 200
CHARACTERS_OF_PIECE = 4
ITEMS = 2_350
WARM_PROMPTS = 2_000


@dataclasses.dataclass
class Item:
    """An item of the long answer."""

    number: int
    name: str


class Constant(llm.Model):
    """Answers with the same pieces again and again."""

    model_id = "constant"
    can_stream = True
    supports_schema = True

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        """Look at what is sent, as every service has to, and answer."""
        assert prompt.messages
        yield from self.pieces


class AsyncConstant(llm.AsyncModel):
    """Answers piece by piece, and lets the others go on in between."""

    model_id = "constant"
    can_stream = True

    async def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Any:
        """Answer."""
        for _ in range(PIECES_OF_STREAM):
            await asyncio.sleep(0)
            yield "word "


def turn(count: int) -> float:
    """Return the processor time of the last turns of a conversation of so many."""
    conversation = Constant("ok").conversation()
    times = []
    gc.collect()
    for _ in range(count):
        began = time.process_time()
        conversation.prompt("hi").text()
        times.append(time.process_time() - began)
    return statistics.median(times[-20:])


def streams(count: int) -> float:
    """Return the processor time of so many streams that are read at the same time."""

    async def read() -> int:
        return len([piece async for piece in AsyncConstant().prompt("hi")])

    async def together() -> None:
        found = await asyncio.gather(*(read() for _ in range(count)))
        assert found == [PIECES_OF_STREAM] * count

    asyncio.run(together())
    gc.collect()
    began = time.process_time()
    asyncio.run(together())
    return time.process_time() - began


def growing(kind: str) -> float:
    """Return the processor time of a long answer whose value is read as it grows."""
    items = [
        {"number": number, "name": f"The item {number:06} of the list"} for number in range(ITEMS)
    ]
    text = json.dumps(items)
    places = range(0, len(text), CHARACTERS_OF_PIECE)
    model = Constant(*(text[at : at + CHARACTERS_OF_PIECE] for at in places))
    schema: Any = list[Item] if kind == "typed" else {"type": "array"}
    response = model.prompt("hi", schema=schema)
    began = time.process_time()
    longest = max(map(len, response.stream_objects()))
    assert longest == ITEMS
    return time.process_time() - began


def memory(count: int) -> int:
    """Return the bytes by which the process has grown after so many prompts that nobody keeps."""

    def run(prompts: int) -> int:
        model = Constant("ok")
        for _ in range(prompts):
            model.prompt("hi").text()
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    return -run(WARM_PROMPTS) + run(count)


if __name__ == "__main__":
    task, value = sys.argv[1:]
    tasks: dict[str, Any] = {"turn": turn, "streams": streams, "memory": memory}
    print(json.dumps(growing(value) if task == "growing" else tasks[task](int(value))))
