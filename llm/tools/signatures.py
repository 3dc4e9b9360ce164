"""Signatures and type hints of functions, also where these name what only type checkers know.

Since Python 3.14 annotations are evaluated when somebody looks at them, so looking may fail.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from ..text import JSONObject

if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations

    _signature = functools.partial(inspect.signature, annotation_format=Format.FORWARDREF)
    _annotations = functools.partial(get_annotations, format=Format.FORWARDREF)
else:
    _signature = inspect.signature

    def _annotations(function: object) -> JSONObject:
        return getattr(function, "__annotations__", {})


def signature_of(function: Callable[..., object]) -> inspect.Signature:
    """The signature; annotations without a value are left as they are written.

    Raises:
        TypeError: It is no function.
        ValueError: A builtin function does not tell its signature.
    """
    return _signature(function)


def type_hints_of(function: Callable[..., object]) -> JSONObject:
    """The types of parameters and result (`return`), without those that cannot be evaluated."""
    target = _annotated(function)
    annotations = _annotations(target)
    names = getattr(inspect.unwrap(target), "__globals__", {})
    try:
        return _evaluated(annotations, names)
    except Exception:  # a name that only type checkers know, or no type at all
        hints: JSONObject = {}
        for name, annotation in annotations.items():
            try:
                hints |= _evaluated({name: annotation}, names)
            except TypeError:
                # Python 3.10 refuses values that are no types; elsewhere whoever uses them does.
                hints |= {} if isinstance(annotation, str) else {name: annotation}
            except Exception:
                continue
        return hints


def _annotated(function: Callable[..., Any]) -> Callable[..., Any]:
    """What has the annotations: not a functools.partial, nor an object with `__call__`."""
    if isinstance(function, functools.partial):
        return _annotated(function.func)
    is_wrapper = "__wrapped__" in getattr(function, "__dict__", ())
    if is_wrapper or isinstance(function, type) or inspect.isroutine(function):
        return function
    return type(function).__call__


def _evaluated(annotations: JSONObject, names: JSONObject) -> JSONObject:
    from types import SimpleNamespace
    from typing import get_type_hints

    # Not of the function itself: Python 3.10 would make an optional int of `x: int = None`, and
    # the hash of a tool must not depend on the version.
    holder = SimpleNamespace(__annotations__=annotations)
    return get_type_hints(holder, names, include_extras=True)
