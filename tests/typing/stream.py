"""An answer, piece by piece."""

from collections.abc import Iterator

import llm
from llm.parts import StreamEvent

model = llm.get_model()
pieces: Iterator[str] = model.stream("Count to five", temperature=0)
for piece in pieces:
    print(piece.strip(), end="")
for event in model.prompt("Think first").stream_events():
    shown: StreamEvent = event
    if shown.type == "reasoning":
        print(shown.chunk)
for value in model.prompt("A list", schema={"type": "array"}).stream_objects():
    print(value)
