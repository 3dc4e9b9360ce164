"""Log databases of any size: conversations of ten turns with words of known frequency."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from _measure import child_environment
from _setup import BENCH, CHECKOUT, Environment

WORK = BENCH / ".work"
_WORDS = [f"w{number:04}" for number in range(5000)]
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_EMPTY = "import sqlite_utils, sys; from llm.migrations import migrate; "
_EMPTY += "migrate(sqlite_utils.Database(sys.argv[1]))"
_RARE = " rareword これは日本語テキストです。"
_STARTED_MS = 1_700_000_000_000
_TURN = (
    "insert into turns (id, thread_id, parent_message_hash, tip_message_hash, model,"
    " resolved_model, input_tokens, output_tokens, duration_ms, datetime_utc, response_json)"
    " values (?, ?, ?, ?, 'nothing', 'nothing-1', 10, 200, 300, ?, ?)"
)


def turns_file(environment: Environment, turns: int) -> Path:
    """Return a file that 0.36 made, filled with so many turns; kept for the next time.

    Every turn holds the word `common`, one in a hundred `rareword` and a Japanese sentence, one in
    three a sign beyond ASCII.
    """
    WORK.mkdir(exist_ok=True)
    path = WORK / f"logs-{turns}-turns.db"
    if not path.exists():
        print(f"making a log of {turns:,} turns in {path}")
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        command = [environment.python, "-c", _EMPTY, str(unfinished)]
        # Elsewhere than in the checkout, where Python would import ours.
        subprocess.run(command, env=child_environment(WORK), cwd=WORK, check=True)
        with closing(sqlite3.connect(unfinished)) as conn:
            conn.execute("pragma synchronous = off")
            with conn:
                _fill(conn, turns)
        unfinished.rename(path)
    return path


def legacy_file(responses: int) -> Path:
    """Return a copy of a file of 0.26 with so many responses, which no later release has seen."""
    WORK.mkdir(exist_ok=True)
    path = WORK / f"legacy-{responses}.db"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        shutil.copy(CHECKOUT / "tests" / "data" / "logs-v0.26.db", unfinished)
        rnd = random.Random(2)
        with closing(sqlite3.connect(unfinished)) as conn, conn:
            conn.executemany(
                "insert into responses (id, model, prompt, response, conversation_id,"
                " duration_ms, datetime_utc) values (?, 'old', ?, ?, ?, 300, '2025-01-01')",
                (
                    (_ulid(rnd, number), _text(rnd, 12), _text(rnd, 60), f"c{number // 10}")
                    for number in range(responses)
                ),
            )
        unfinished.rename(path)
    return path


def _fill(conn: sqlite3.Connection, turns: int) -> None:
    rnd = random.Random(1)
    thread, parent = "", None
    for number in range(turns):
        if number % 10 == 0:
            thread, parent = _ulid(rnd, number), None
            conn.execute(
                "insert into threads values (?, ?, null, null, '2026-01-01 00:00:00+00:00')",
                [thread, f"conversation {number}"],
            )
        prompt, answer = _text(rnd, 12), _text(rnd, 200, rare=rnd.random() < 0.01)
        asked = _message(conn, parent, "user", prompt)
        tip = _message(conn, asked, "assistant", answer)
        turn = _ulid(rnd, number)
        when = f"2026-01-01T00:00:00.{number % 1_000_000:06}+00:00"
        reply = json.dumps({"id": turn, "content": {"$": "0.0.text"}, "usage": {"total": 210}})
        conn.execute(_TURN, [turn, thread, asked, tip, when, reply])
        conn.execute(
            "insert into turn_search (turn_id, prompt, response) values (?, ?, ?)",
            [turn, prompt, answer],
        )
        conn.execute("update threads set tip_message_hash = ? where id = ?", [tip, thread])
        parent = tip


def _message(conn: sqlite3.Connection, parent: str | None, role: str, text: str) -> str:
    shape = {"message": {"parts": [{"text": text, "type": "text"}], "role": role}}
    canonical = json.dumps({**shape, "parent": parent}, sort_keys=True, separators=(",", ":"))
    key = "b2:" + hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
    conn.execute("insert into messages values (?, ?, ?, null)", [key, parent, role])
    conn.execute(
        "insert into parts (message_hash, position, type, text) values (?, 0, 'text', ?)",
        [key, text],
    )
    return key


def _text(rnd: random.Random, words: int, *, rare: bool = False) -> str:
    sign = " \u2014 so" if rnd.random() < 1 / 3 else ""
    return f"common {' '.join(rnd.choices(_WORDS, k=words))}{sign}{_RARE if rare else ''}"


def _ulid(rnd: random.Random, number: int) -> str:
    value = ((_STARTED_MS + number * 20) << 80) | rnd.getrandbits(80)
    digits = []
    for _ in range(26):
        digits.append(_DIGITS[value & 31])
        value >>= 5
    return "".join(reversed(digits))
