"""What the journal of a running answer costs: processor time a prompt, and a streamed chunk.

A model that answers at once streams 20,000 pieces, with the journal and without it. The prompt's
share is the request, the end, and the removal of the file.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from _measure import Figure, arguments, child_environment, report, user_paths
from _setup import environments

CHUNKS = 20_000
PROMPTS = 200
PROMPT_LIMIT_S = 0.001
CHUNK_LIMIT_S = 5e-6


def inside() -> None:
    """Measure in this process; print seconds a prompt and a chunk."""
    import llm
    from llm.models.response import Response
    from llm.prompting.journal import Journal

    class Talks(llm.Model):
        model_id = "talks"
        can_stream = True
        count = 0

        def execute(self, prompt, stream, response, conversation):  # type: ignore[no-untyped-def]
            for _ in range(self.count):
                yield "word "

    def cpu(count: int, prompts: int, *, journaled: bool) -> float:
        model = Talks()
        model.count = count
        began = time.process_time()
        for _ in range(prompts):
            response: Response = model.conversation().prompt("hi")
            journal = Journal()
            if journaled:
                response.observer = journal
            response.text()
            if journaled:
                journal.finished(None)
                journal.close(keep=False)
        return (time.process_time() - began) / prompts

    cpu(10, 10, journaled=True)
    prompt = cpu(1, PROMPTS, journaled=True) - cpu(1, PROMPTS, journaled=False)
    whole = cpu(CHUNKS, 1, journaled=True) - cpu(CHUNKS, 1, journaled=False)
    print(prompt, (whole - prompt) / CHUNKS)


def main() -> int:
    """Measure in our environment and compare with the limits."""
    args = arguments(__doc__, runs=5)
    _, ours = environments()
    command = [ours.python, __file__, "--inside"]
    with user_paths(ours) as (user_path,):
        env = {**child_environment(user_path), "PYTHONPATH": str(Path(__file__).parent)}
        outputs = [
            subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
            for _ in range(args.runs)
        ]
    pairs = [tuple(map(float, output.split())) for output in outputs]
    prompt = statistics.median(pair[0] for pair in pairs)
    chunk = statistics.median(pair[1] for pair in pairs)
    print(f"a prompt {prompt * 1e3:.3f} ms, a chunk {chunk * 1e6:.2f} µs")
    return report(
        [
            Figure("journal, a prompt", prompt / PROMPT_LIMIT_S, 1.0),
            Figure("journal, a chunk", chunk / CHUNK_LIMIT_S, 1.0),
        ]
    )


if __name__ == "__main__":
    if "--inside" in sys.argv:
        inside()
    else:
        sys.exit(main())
