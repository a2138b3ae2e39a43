"""What each record scored, one JSON line each, written as an evaluation goes.

A line holds the metric's state of its record alone, so an evaluation that was interrupted goes on
where it stopped, processes share a benchmark, and intervals are drawn over their pictures; every
number is computed from the lines. The settings of an evaluation stand in the file's name (their
digest) and in its first line, so that no two are mixed. A record that could not be asked has a line
too; when it is asked later after all, the line of its score stands.
"""

import base64
import hashlib
import io
import json
import os
import pickle
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from vision_banana.metrics.metric import Metric, State
from vision_banana.training.json_lines import JsonLines

INLINE = 64  # arrays of at most so many numbers are written as lists


class Entry(NamedTuple):
    """One record's part in a task's scores.

    Attributes:
      record: its index.
      task: the task's name.
      key: the record's name.
      reason: why it could not be asked; "" where it was.
      states: column ("blind", "truth" or a number of steps, as text) -> the metric's state.
      picture: which picture it is about, see `picture_key`; records may share one. "" where it is
        about none, or not known: then it counts as a picture of its own.
      unasked: why nothing stands for its answer, see `plans.Query`; "" where it was asked.
    """

    record: int
    task: str
    key: str
    reason: str
    states: Mapping[str, State]
    picture: str = ""
    unasked: str = ""


class _Packed(Mapping[str, State]):
    """States by column, held compressed: the bins of one confidence alone are 36 KB as they are."""

    def __init__(self, states: Mapping[str, State]) -> None:
        self._packed = {name: zlib.compress(pickle.dumps(x), 1) for name, x in states.items()}

    def __getitem__(self, column: str) -> State:
        return pickle.loads(zlib.decompress(self._packed[column]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class Records:
    """The entries of one evaluation.

    Args:
      metrics: task -> the metric whose states the entries hold.
      folder: where they are kept, local or in a bucket; None keeps them in memory alone.
      settings: everything that the scores depend on, JSON values.
      part: of this process, names its own file among those of one evaluation.

    Attributes:
      digest: of the settings, which the files' names begin with; "" where nothing is kept.

    Raises:
      ValueError: a file holds a line that is none of this evaluation's.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        folder: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        part: int = 0,
    ) -> None:
        self._metrics = metrics
        self._entries: dict[tuple[int, str], Entry] = {}
        self._folder: epath.Path | None = None
        self._lines: JsonLines | None = None
        self.digest = ""
        if folder is None:
            return
        header = json.dumps({"settings": dict(settings or {})}, sort_keys=True)
        self.digest = digest_of(header)
        self._folder = epath.Path(folder)
        self.read_all()
        own = self._folder / f"{self.digest}-{part}.jsonl"
        self._lines = JsonLines(own)
        if not (own.exists() and own.stat().length):  # there may have been half a header
            self._lines.write(json.loads(header))

    def read_all(self) -> None:
        """Takes in what all processes of this evaluation have written by now."""
        if self._folder is not None and self._folder.exists():
            for path in sorted(self._folder.glob(f"{self.digest}-*.jsonl")):
                self.read(path)

    def close(self) -> None:
        """Makes sure that everything lies in the folder; nothing can be added then."""
        if self._lines is not None:
            self._lines.close()

    def read(self, path: str | os.PathLike[str]) -> None:
        """Takes in a file's entries; ValueError naming a line that is none."""
        lines = epath.Path(path).read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines[1:], 2):
            if not line.endswith(b"\n"):  # cut off while it was written
                continue
            try:
                entry = self._entry(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}, line {number} is no record of this evaluation ({error!r}): delete "
                    "the line, and its record is scored again"
                ) from error
            if self._is_news(entry):
                self._keep(entry)

    def _entry(self, row: Mapping[str, Any]) -> Entry:
        like = self._metrics[row["task"]].init()
        states = {column: decode(like, text) for column, text in row["states"].items()}
        # Earlier versions wrote neither.
        picture, unasked = row.get("picture", ""), row.get("unasked", "")
        key, reason = row["key"], row["reason"]
        return Entry(row["record"], row["task"], key, reason, states, picture, unasked)

    def has(self, record: int, task: str) -> bool:
        """Whether a record is scored, or could not be asked."""
        return (record, task) in self._entries

    def failed(self, record: int, task: str) -> bool:
        """Whether a record could not be asked when that was last tried."""
        return self.has(record, task) and self._entries[record, task].reason != ""

    def _is_news(self, entry: Entry) -> bool:
        """Whether an entry is a record's first, or says more than that it could not be asked."""
        known = self._entries.get((entry.record, entry.task))
        return known is None or (known.reason != "" and entry.reason != known.reason)

    def _keep(self, entry: Entry) -> None:
        self._entries[entry.record, entry.task] = entry._replace(states=_Packed(entry.states))

    def add(self, entries: Iterable[Entry]) -> None:
        """Adds entries, and writes them; a score that is there already stays as it is."""
        new = []
        for entry in entries:
            if self._is_news(entry):
                self._keep(entry)
                new.append(entry)
        if self._lines is not None:
            for entry in new:
                self._lines.write(self._line(entry))

    def _line(self, entry: Entry) -> dict[str, Any]:
        compute = self._metrics[entry.task].compute
        scores = {
            column: {name: x for name, x in compute(state).items() if np.isfinite(x)}
            for column, state in entry.states.items()
        }
        states = {column: encode(state) for column, state in entry.states.items()}
        return {**entry._asdict(), "scores": scores, "states": states}

    def of(self, task: str) -> list[Entry]:
        """A task's entries in the order of records."""
        return [e for (_, name), e in sorted(self._entries.items()) if name == task]

    def missing(self, records: Iterable[int], tasks: Sequence[str]) -> list[int]:
        """The records that some task has neither scored nor failed to ask."""
        return [i for i in records if not all(self.has(i, task) for task in tasks)]


def digest_of(text: str) -> str:
    """The first 12 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def picture_key(pictures: Sequence[np.ndarray]) -> str:
    """What tells a record's pictures, (H, W, 3) each, from others'; "" where there are none."""
    if not pictures:
        return ""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.shape} ".encode() + np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()[:16]


def encode(state: State) -> list[Any]:
    """A state's arrays as JSON values, in the order of `jax.tree.leaves`."""
    return [_array_to_json(np.asarray(leaf)) for leaf in jax.tree.leaves(state)]


def decode(like: State, values: Sequence[Any]) -> State:
    """A state of the form of `like`, from `encode`'s values; ValueError where they do not fit."""
    leaves = [_array_from_json(value) for value in values]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _array_to_json(array: np.ndarray) -> Any:
    if array.size <= INLINE and np.isfinite(array).all():
        return {"type": array.dtype.str, "shape": array.shape, "values": array.ravel().tolist()}
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def _array_from_json(value: Any) -> np.ndarray:
    if isinstance(value, str):
        file = io.BytesIO(zlib.decompress(base64.b64decode(value)))
        return np.load(file, allow_pickle=False)
    return np.array(value["values"], value["type"]).reshape(value["shape"])
