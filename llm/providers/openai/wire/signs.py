"""What tells an error from an answer, whatever the HTTP status says."""

from __future__ import annotations

from typing import Any

#: Fields that say why something failed, and are nowhere but in errors.
TELLING = (
    *("message", "msg", "detail", "error_message", "error_msg", "errorMessage", "errorMsg"),
    *("Message", "Error", "err_msg", "errmsg"),
)
# An object with one of these may be an answer, whatever else it says.
_ANSWERS = ("data", "output", "response", "models", "delta", "item", "usage")


def tells_error(value: dict[str, Any]) -> bool:
    """Whether an object that should be an answer, or a piece of one, tells of an error instead.

    One that has choices is looked at by whoever takes them.
    """
    if value.get("choices"):
        return False
    several = value.get("value")
    if isinstance(several, list):
        return any(isinstance(item, dict) and tells_error(item) for item in several)
    if value.get("error") or "error" in (value.get("object"), value.get("type")):
        return True
    if str(value.get("type")).startswith("response."):
        return False
    return _is_refusal(value) or _is_reason_alone(value)


def _is_refusal(value: dict[str, Any]) -> bool:
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return True
    return bool(value.get("errors") or value.get("fault")) or (
        False in (value.get("success"), value.get("ok"))
    )


def _is_reason_alone(value: dict[str, Any]) -> bool:
    if any(value.get(name) not in (None, {}) for name in _ANSWERS):
        return False
    if isinstance(value.get("detail"), dict):
        return bool(value["detail"])
    return any(isinstance(value.get(word), (str, list)) and value[word] for word in TELLING)
