"""What the `config.json` of a folder of weights must say, checked before anything uses it."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class _Kind(NamedTuple):
    """What a value must be: in words, and the test."""

    words: str
    holds: Callable[[Any], bool]


def _whole(least: int) -> _Kind:
    return _Kind(
        f"a whole number of {least} or more",
        lambda x: isinstance(x, int) and not isinstance(x, bool) and x >= least,
    )


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


_OBJECT = _Kind("a JSON object", lambda x: isinstance(x, dict))
_TEXT = _Kind("a text", lambda x: isinstance(x, str))
_WEIGHT = _Kind("a number of 0 or more", lambda x: _is_number(x) and x >= 0)
_SHA256 = _Kind(
    "64 hexadecimal digits",
    lambda x: isinstance(x, str) and len(x) == 64 and set(x) <= set("0123456789abcdef"),
)

# Everything that loading, answering, scoring and exporting read, by dotted key.
_NEEDED = {
    "step": _whole(0),
    "weights.bytes": _whole(0),
    "weights.sha256": _SHA256,
    "language": _OBJECT,
    "config.model.size": _TEXT,
    "config.init_from": _TEXT,
    "config.time.shift": _Kind("a number above 0", lambda x: _is_number(x) and x > 0),
    "config.data.size": _whole(1),
    "config.data.groups": _whole(1),
    "config.data.queries": _whole(1),
    "config.data.mixture": _OBJECT,
}
_MAY_BE_LEFT_OUT = {  # the model's defaults stand for them
    "config.model.vocabulary": _whole(1),
    "config.model.text_length": _whole(1),
    "config.model.text_features": _whole(0),
}
_OF_EACH_SOURCE = {"source.name": _TEXT, "tasks": _OBJECT, "weight": _WEIGHT}
_MISSING = object()


def check(record: Mapping[str, Any], where: str) -> None:
    """Checks the values of a record that is a JSON object.

    Raises:
      ValueError: naming `where`, the first value that is missing or wrong, and what it must be.
    """
    for key, kind in _NEEDED.items():
        _check(_at(record, key), key, kind, where)
    for key, kind in _MAY_BE_LEFT_OUT.items():
        if (value := _at(record, key)) is not _MISSING:
            _check(value, key, kind, where)
    for name, row in record["config"]["data"]["mixture"].items():
        for key, kind in _OF_EACH_SOURCE.items():
            _check(_at(row, key), f"config.data.mixture.{name}.{key}", kind, where)


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return _MISSING
        tree = tree[part]
    return tree


def _check(value: Any, key: str, kind: _Kind, where: str) -> None:
    if not kind.holds(value):
        seen = "missing" if value is _MISSING else repr(value)
        raise ValueError(f"{where} is damaged: {key} is {seen}, and must be {kind.words}")
