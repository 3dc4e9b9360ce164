"""Runs bench/_worker.py inside an environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from _measure import LIMIT_S, child_environment
from _setup import BENCH, Environment


def inside(environment: Environment, user: Path, task: str, *values: object) -> Any:
    """Return what the worker measured for a task in this environment."""
    command = [environment.python, str(BENCH / "_worker.py"), task, *map(str, values)]
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
