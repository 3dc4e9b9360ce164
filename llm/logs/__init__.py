"""The log database: threads of messages, the turns that made them, and older generations of both.

This package alone knows the tables of `logs.db`.
"""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from .records.chains import HASH_PREFIX, canonical_json, content_hash, message_hash
    from .write.store import LogStore

__all__ = ["HASH_PREFIX", "LogStore", "canonical_json", "content_hash", "message_hash"]

__getattr__, __dir__ = attach(
    __name__,
    {"llm.logs.records.chains": ("HASH_PREFIX", "canonical_json", "content_hash", "message_hash")},
    LogStore="llm.logs.write.store",
)
