"""The log database: threads of messages, the turns that made them, and older generations of both.

This package alone knows the tables of `logs.db`.
"""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from .records.hashing import HASH_PREFIX, canonical_json, content_hash, message_hash
    from .write.store import LogStore

__all__ = ["HASH_PREFIX", "LogStore", "canonical_json", "content_hash", "message_hash"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "HASH_PREFIX": "llm.logs.records.hashing",
        "LogStore": "llm.logs.write.store",
        "canonical_json": "llm.logs.records.hashing",
        "content_hash": "llm.logs.records.hashing",
        "message_hash": "llm.logs.records.hashing",
    },
)
