"""The two tools that are always there."""

from __future__ import annotations

from .._version import VERSION


def llm_version() -> str:
    """Return the installed version of llm"""
    return VERSION


def llm_time() -> dict:  # type: ignore[type-arg]  # `llm tools` shows the type
    """Return the current time, as local time and UTC"""
    import datetime

    utc = datetime.datetime.now(datetime.timezone.utc)
    local = utc.astimezone()
    offset = local.utcoffset() or datetime.timedelta()
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    return {
        "utc_time": utc.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "utc_time_iso": utc.isoformat(),
        "local_timezone": local.tzname() or "",
        "local_time": local.strftime("%Y-%m-%d %H:%M:%S"),
        "timezone_offset": f"UTC{sign}{hours:02d}:{minutes:02d}",
        "is_dst": bool(local.timetuple().tm_isdst > 0),
    }
