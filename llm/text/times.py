"""Points in time as people write and read them; the log itself keeps UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from ..errors import InvalidInput

_AGE = re.compile(r"(\d+)\s*([smhdw])", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_time(
    text: str, *, utc: bool = False, end_of_day: bool = False, now: datetime | None = None
) -> str:
    """A point in time, in UTC, in the form in which the log compares times.

    Args:
        text: An age before now (`90d`, `2h`, `30m`, `1w`), a date, or a date and time, with or
            without a zone.
        utc: Take what has no zone as UTC, not as the time of this machine.
        end_of_day: Let a mere date mean the end of that day, not its beginning.
        now: The present time.

    Returns:
        Text like `2026-01-02T03:04:05`.

    Raises:
        InvalidInput: It is none of these.
    """
    return _in_log(_parse_age(text, now) or _parse_date(text, utc=utc, end_of_day=end_of_day))


def parse_age(text: str, *, now: datetime | None = None) -> str:
    """The time, as `parse_time` gives it, that was as long ago as `text` says: `90d`, `12h`.

    Raises:
        InvalidInput: It is no age.
    """
    moment = _parse_age(text, now)
    if moment is None:
        raise InvalidInput(f"Invalid age: {text!r}: write a number and a unit: 90d, 12h, 4w")
    return _in_log(moment)


def _in_log(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat()


def _parse_age(text: str, now: datetime | None) -> datetime | None:
    match = _AGE.fullmatch(text.strip())
    if match is None:
        return None
    age = {_UNITS[match[2].lower()]: int(match[1])}
    try:
        return (now or datetime.now(timezone.utc)) - timedelta(**age)
    except OverflowError:
        return datetime.min.replace(tzinfo=timezone.utc)


def _parse_date(text: str, *, utc: bool, end_of_day: bool) -> datetime:
    # Before 3.11 Python does not know that Z is a zone.
    written = re.sub(r"[zZ]$", "+00:00", text.strip())
    try:
        moment = datetime.fromisoformat(written)
        if end_of_day and _DAY.fullmatch(written):
            moment += timedelta(days=1)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc) if utc else moment.astimezone()
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"Invalid time: {text!r}: write a date (2026-01-31), a date and time"
            " (2026-01-31T12:30) or an age (3d, 2h)"
        ) from error


def stored_time(text: str | None) -> str:
    """A time of the log to the second, in UTC and without its zone; empty for none."""
    return (text or "")[:19]


def shown_time(*, utc: bool) -> Callable[[str | None], str]:
    """What writes a time of the log for a person: to the second, with its zone, UTC or local."""

    def shown(text: str | None) -> str:
        try:
            moment = datetime.fromisoformat(stored_time(text)).replace(tzinfo=timezone.utc)
            local = moment if utc else moment.astimezone()
        except (ValueError, OverflowError, OSError):
            return stored_time(text)
        return f"{local:%Y-%m-%dT%H:%M:%S} {local.tzname()}"

    return shown
