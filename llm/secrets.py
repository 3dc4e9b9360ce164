"""Keys in use are never shown: what equals one is masked wherever text leaves the program.

Whoever resolves a key says `remember(key)`. Errors, notes, the log, the journal, debug output and
tracebacks pass through `masked`.
"""

from __future__ import annotations

import json

MASK = "[...]"
# A shorter text would be found by chance in the middle of other words.
LEAST_LENGTH = 6

# Each form in which a key may appear; a dictionary keeps the order, the longest first.
_forms: dict[str, None] = {}


def remember(secret: object) -> None:
    """Let `secret` be masked from here on; nothing happens for what is no text, or a short one."""
    if not isinstance(secret, str):
        return
    text = secret.strip()
    if len(text) < LEAST_LENGTH or text in _forms:
        return
    found = {*_forms, text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    if not text.isalnum():
        from urllib.parse import quote, quote_plus

        found |= {quote(text), quote(text, safe=""), quote_plus(text)}
    ordered = sorted(found, key=len, reverse=True)
    _forms.clear()
    _forms.update(dict.fromkeys(ordered))


def masked(text: str) -> str:
    """`text` with `[...]` in place of each key in use."""
    for form in _forms:
        if form in text:
            text = text.replace(form, MASK)
    return text


def mask_tracebacks() -> None:
    """Let the interpreter, too, print an exception that ends the program without keys."""
    import sys
    import traceback
    from types import TracebackType

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if sys.stderr is not None:
            sys.stderr.write(masked("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
