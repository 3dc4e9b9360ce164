"""Log databases that older releases wrote, and a look at what is in one."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parent.parent / "data"
RELEASES = ("0.13", "0.19", "0.26", "0.26-continued-by-0.36", "0.36")


def copy_of(release: str, folder: Path) -> Path:
    """A copy, in `folder`, of the database that `release` wrote."""
    target = folder / f"logs-v{release}.db"
    shutil.copyfile(DATA / f"logs-v{release}.db", target)
    return target


def columns_of(path: Path) -> dict[str, list[tuple[str, str, int]]]:
    """Name, type and place in the primary key of each column of each shared table and view."""
    with contextlib.closing(sqlite3.connect(path)) as conn:
        names = [
            row[0]
            for row in conn.execute("select name from sqlite_master where type in ('table','view')")
            if not row[0].startswith("_llm_x_")
        ]
        return {
            name: [
                (row[1], row[2].upper(), row[5])
                for row in conn.execute(f"pragma table_info('{name}')")
            ]
            for name in names
        }


@contextlib.contextmanager
def plugin_of_the_data() -> Iterator[None]:
    """The plugin that wrote these databases is there while the block runs."""
    import importlib.util

    from llm.plugins import load_plugins, pm

    spec = importlib.util.spec_from_file_location("llm_fakeplug", DATA / "llm_fakeplug.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    load_plugins()
    pm.register(module, "fakeplug")
    try:
        yield
    finally:
        pm.unregister(module)
