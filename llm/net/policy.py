"""How often a request is sent again, how long anybody waits for a server, and what gets done then.

A model finds the policy of its call in `response.policy`; whoever prompts sets it with
`--retries` and `--timeout`, or with `model.conversation(policy=...)`.

A provider says `request_sent()` once its request is on the wire. Whoever has something to do that
must not delay the request left it with `meanwhile`. Both are open to plugins; a provider that
never says anything loses a little time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import InvalidInput

__all__ = ["Attempts", "CallPolicy", "retry_after_s"]


class _Usual(int):
    """A number of retries that nobody has asked for; who is only busy is asked more often."""


RETRIES = _Usual(2)
#: For a server that says that it is busy, or that it is asked too often.
BUSY_RETRIES = 4
BUSY = (429, 503)
TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
# All the pauses of a call that no server has asked for, together.
LONGEST_OWN_PAUSES_S = 60.0
LONGEST_RETRY_AFTER_S = 120.0


@dataclass(frozen=True)
class CallPolicy:
    """The rules for calls over a network, the same for every provider.

    Args:
        retries: How often a request that failed is sent again, at most; without it twice, and four
            times where the server is busy (HTTP 429 and 503).
        timeout_s: The longest silence of the server, in seconds: before its answer begins, and
            between two pieces of it.
        tell: Called with one line for the user before each pause; nobody is told where missing.
    """

    retries: int = RETRIES
    timeout_s: float = TIMEOUT_S
    tell: Callable[[str], object] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no number of retries or seconds: an `InvalidInput`."""
        retries, timeout_s = self.retries, self.timeout_s
        if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
            raise InvalidInput(f"retries: {retries!r} is no whole number from 0 on")
        if not isinstance(timeout_s, (int, float)) or not timeout_s > 0:
            raise InvalidInput(f"timeout_s: {timeout_s!r} is no number of seconds above 0")

    def retries_after(self, status: int | None) -> int:
        """How often a request is sent again that failed with this HTTP status, or with none."""
        is_usual = isinstance(self.retries, _Usual)
        return BUSY_RETRIES if is_usual and status in BUSY else self.retries

    @property
    def connect_timeout_s(self) -> float:
        """The longest time that making a connection may take, in seconds."""
        return min(self.timeout_s, CONNECT_TIMEOUT_S)

    def attempts(self, server: str = "the server") -> Attempts:
        """The attempts of one call, counted; `server` names who failed, e.g. a host."""
        return Attempts(self, server)


@dataclass
class Attempts:
    """Counts the failed attempts of one call and says how long to wait before the next."""

    policy: CallPolicy
    server: str
    _failed: int = 0
    _own_pauses_s: float = 0.0

    def pause_s(
        self,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        reason: str = "",
    ) -> float | None:
        """The seconds to wait after a failure, which the user is told; `None`: give up.

        Args:
            status: The HTTP status, or `None` where there was no reply.
            headers: The reply's headers, by lower-case name.
            reason: What to tell the user where there is no status.
        """
        self._failed += 1
        headers = headers or {}
        retries = self.policy.retries_after(status)
        if self._failed > retries or not _is_worth_retrying(status, headers, body):
            return None
        pause = retry_after_s(headers)
        if pause is None:
            pause = self._own_pause_s()
        elif pause > LONGEST_RETRY_AFTER_S:
            return None
        if pause is None:
            return None
        if self.policy.tell is not None:
            happened = reason or "did not answer" if status is None else f"answered {status}"
            self.policy.tell(
                f"{self.server} {happened}, trying again in {pause:.1f} s"
                f" ({self._failed} of {retries})"
            )
        return pause

    def _own_pause_s(self) -> float | None:
        """A pause where the server asks for none; `None` where there were enough of them."""
        left = LONGEST_OWN_PAUSES_S - self._own_pauses_s
        if left <= 0:
            return None
        import random

        # A little less than double each time, so that many who failed together do not come back so.
        backoff = min(FIRST_PAUSE_S * 2.0 ** (self._failed - 1), LONGEST_PAUSE_S)
        pause = min(backoff * (1 - 0.25 * random.random()), left)
        self._own_pauses_s += pause
        return pause


# The latter are llama.cpp's words for a request that it will not understand the next time either.
_HOPELESS = {429: (b"insufficient_quota",), 500: (b"Failed to parse", b"Jinja")}


def _is_worth_retrying(status: int | None, headers: Mapping[str, str], body: bytes) -> bool:
    if status is None:
        return True
    told = headers.get("x-should-retry")
    if told in ("true", "false"):
        return told == "true"
    if any(word in body for word in _HOPELESS.get(status, ())):
        return False
    return status in (408, 409, 429) or status >= 500


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The pause in seconds that the headers, by lower-case name, ask for; `None` for none."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            pause = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        if 0 <= pause < float("inf"):
            return pause
    if "retry-after" not in headers:
        return None
    import time
    from email.utils import parsedate_to_datetime

    try:
        until = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, until.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


_works: list[Callable[[], object]] = []


def meanwhile(work: Callable[[], object]) -> None:
    """Have `work` called when the next request has been sent. It has to return at once: what
    takes time belongs into a thread."""
    _works.append(work)


def forget(work: Callable[[], object]) -> None:
    """Do not call `work` any more."""
    if work in _works:
        _works.remove(work)


def request_sent() -> None:
    """Say that a request is on the wire and the answer is waited for."""
    while _works:
        _works.pop()()
