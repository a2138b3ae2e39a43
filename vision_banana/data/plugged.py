"""Functions that a user plugs in by name, as "package.module:function"."""

import importlib
from collections.abc import Callable
from typing import Any


def find(name: str, role: str) -> Callable[..., Any]:
    """Imports a function.

    Args:
      name: "package.module:function".
      role: what it is for, as messages say it.

    Raises:
      ValueError: there is none of that name.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        if not callable(found):
            raise ValueError(f"{attribute} is a {type(found).__name__}, no function")
    except (ImportError, AttributeError, ValueError) as e:
        raise ValueError(f"{role} {name!r} is no function module:function: {e}") from e
    return found
