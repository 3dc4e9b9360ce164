"""Runs a worker of this folder inside an environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from _measure import LIMIT_S, child_environment
from _setup import BENCH, Environment


def inside(
    environment: Environment, user: Path, task: str, *values: object, worker: str = "_worker.py"
) -> Any:
    """Return what the worker measured for a task in this environment."""
    command = [environment.python, str(BENCH / worker), task, *map(str, values)]
    done = subprocess.run(
        command,
        env=child_environment(user),
        cwd=user,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
        check=True,
    )
    return json.loads(done.stdout)
