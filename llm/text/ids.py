"""Identifiers that sort by time: lower-case ULIDs, strictly increasing within a process.

Source: https://github.com/ulid/spec (48 bits of milliseconds, 80 random bits, Crockford base 32).
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ulid import ULID

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Pairs of digits: encoding ten bits at a time halves the work of making an id.
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_SHIFTS = tuple(range(120, -1, -10))

_lock = threading.Lock()
_last = 0


def new_ulid_int() -> int:
    """The next identifier as a 128-bit number, greater than every earlier one of this process."""
    global _last
    millisecond = time.time_ns() // 1_000_000
    with _lock:
        if millisecond > _last >> 80:
            _last = millisecond << 80 | int.from_bytes(os.urandom(10), "big")
        else:
            # Same millisecond, or a clock that went back: count on from the previous one.
            _last += 1
        return _last


def encode_ulid(value: int) -> str:
    """The 26 lower-case digits of a 128-bit identifier."""
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in _SHIFTS])


def new_ulid() -> str:
    """A new identifier: 26 lower-case characters, sorting after every earlier one."""
    return encode_ulid(new_ulid_int())


def monotonic_ulid() -> ULID:
    """A new identifier as an object of the `ulid` package, which plugins expect."""
    from ulid import ULID

    return ULID(new_ulid_int().to_bytes(16, "big"))
