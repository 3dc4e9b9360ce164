"""What is dear to make, such as weights or a client, and is kept for the life of the process."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, cast, overload


class _Named(Protocol):
    model_id: str


S = TypeVar("S", bound=_Named)
P = ParamSpec("P")
T = TypeVar("T")


class _Key(NamedTuple):
    load: Callable[..., object]
    model_id: str
    configuration: object


class _Kept:
    """One thing; its lock is held while it is made, and may be taken again by who makes it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.value: list[object] = []


# The one used last stands at the end.
_kept: dict[_Key, _Kept] = {}
_lock = threading.Lock()


@overload
def load_once(load: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]: ...
@overload
def load_once(
    *, most: int
) -> Callable[[Callable[Concatenate[S, P], T]], Callable[Concatenate[S, P], T]]: ...
def load_once(
    load: Callable[Concatenate[S, P], T] | None = None, *, most: int | None = None
) -> object:
    """Mark the method `load` of a model: what it returns is made once and given to every instance.

    It runs once per process for each `model_id` and each list of arguments, which are the
    configuration and have to be hashable, however many threads and instances ask; where it raises,
    the next call tries again. Twins that inherit it from one class share what it returns.

    Args:
        load: The method.
        most: How many things to keep; the one used longest ago is let go. All where missing.

    Example:
        >>> import llm
        >>> class Small(llm.EmbeddingModel):
        ...     model_id = "small"
        ...     @llm.load_once
        ...     def load(self, size):
        ...         print("loading")
        ...         return [0.0] * size
        ...     def embed_batch(self, items):
        ...         return (self.load(2) for _ in items)
        >>> Small().embed("one") == Small().embed("two")
        loading
        True
        >>> Small().unload()
    """
    if load is None:
        return lambda load: _load_once(load, most)
    return _load_once(load, most)


def _load_once(
    make: Callable[Concatenate[S, P], T], most: int | None
) -> Callable[Concatenate[S, P], T]:
    def loaded(model: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = _Key(make, model.model_id, _configuration(make, model, *args, **kwargs))
        with _lock:
            found = _kept[key] = _kept.pop(key, _Kept())
        with found.lock:
            if not found.value:
                found.value.append(make(model, *args, **kwargs))
                _keep_at_most(most, make)
        return cast("T", found.value[0])

    functools.update_wrapper(loaded, make)
    return loaded


def unload(model: _Named) -> None:
    """Let go of what the methods of a model that `load_once` marks have made for it."""
    attributes = [found for owner in type(model).__mro__ for found in vars(owner).values()]
    with _lock:
        for key in [key for key in _kept if key.model_id == model.model_id]:
            if any(getattr(found, "__wrapped__", None) is key.load for found in attributes):
                del _kept[key]


def _configuration(
    load: Callable[Concatenate[S, P], T], model: S, *args: P.args, **kwargs: P.kwargs
) -> object:
    """The arguments, in the same form however they are given."""
    import inspect

    given = inspect.signature(load).bind(model, *args, **kwargs)
    given.apply_defaults()
    return given.args[1:], frozenset(given.kwargs.items())


def _keep_at_most(most: int | None, load: Callable[..., object]) -> None:
    with _lock:
        made = [key for key, kept in _kept.items() if key.load is load and kept.value]
        for key in made[: len(made) - most] if most is not None else ():
            del _kept[key]
