"""One-line notices for the user, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from ....text.secrets import masked
from ....text.shaping import visible

FILTERED = "The answer was stopped by the provider's content filter"


def tell(notices: Iterable[str]) -> None:
    """Write each notice on a line of its own; the answer before it may not have ended its line."""
    err = sys.stderr
    for notice in notices:
        if err is None:
            return
        start = "\n" if err.isatty() else ""
        err.write(f"{start}{masked(visible(' '.join(notice.split())))}\n")
        err.flush()
