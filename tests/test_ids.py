"""Identifiers: ULIDs that always go up."""

from __future__ import annotations

import threading

import pytest

from llm import text as ids
from llm.utils import monotonic_ulid


def test_ulid_increases_strictly() -> None:
    """Each id sorts after the one before, however fast they are made."""
    made = [ids.new_ulid() for _ in range(5000)]
    assert made == sorted(set(made))


def test_ulid_is_lower_case_and_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id has 26 lower-case digits, of which the ulid package reads the time."""
    from ulid import ULID

    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr("llm.text.time.time_ns", lambda: 1_469_918_176_385 * 1_000_000)
    made = ids.new_ulid()
    assert ULID.from_str(made.upper()).milliseconds == 1_469_918_176_385
    assert (len(made), made) == (26, made.lower())


def test_ulid_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is set back does not bring ids out of order: they count on by one."""
    last = ids.new_ulid_int()
    monkeypatch.setattr("llm.text.time.time_ns", lambda: 0)
    assert ids.new_ulid_int() == last + 1
    assert ids.new_ulid_int() == last + 2


def test_ulid_is_unique_across_threads() -> None:
    """Threads never get the same id."""
    made: list[str] = []

    def make() -> None:
        made.extend([ids.new_ulid() for _ in range(1000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4000


def test_monotonic_ulid_is_an_object_of_the_package() -> None:
    """Plugins get objects of the ulid package, in the same rising order."""
    first, second = monotonic_ulid(), monotonic_ulid()
    assert first < second
    assert ids.new_ulid() > str(second).lower()
