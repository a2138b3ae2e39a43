"""Records that lie on disk as a data set's authors released them, read one by one into examples.

A reader of a released set is a function of the folder that lists `Record`s and says how each
task's answer is read; `OnDisk` makes a source of them, in which everything that is wrong with a
record's files is a `BadRecord` that names the record and the file.
"""

import contextlib
import errno
import functools
import importlib
import json
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from vision_banana.data import pictures, source
from vision_banana.tasks.task import Example

Answer = tuple[np.ndarray, np.ndarray, Mapping[str, Any]]  # label, valid, words
_WRONG_FORM = (LookupError, TypeError, AttributeError)  # a list for a dict, a field that is missing
# A name that leads to no file. All other numbers are of errors that may pass.
_NO_FILE = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
# gcsfs says so of a login that is refused; ArrayRecord has the system's errors in words alone.
_PASSING = re.compile(
    r"\b(Forbidden|Bad Request): |\b(open|p?read|lseek|f?stat)\(\) failed: (?!No such file)"
)


class Record(NamedTuple):
    """One record of a set.

    Attributes:
      name: which one it is; unique in the set.
      picture: the file that holds its picture; None where it has none.
      truth: task -> the other files that the task's answer is read from.
      entry: what the set's own index says about it.
    """

    name: str
    picture: pathlib.Path | None
    truth: Mapping[str, tuple[pathlib.Path, ...]]
    entry: Mapping[str, Any] = MappingProxyType({})


def read_picture(record: Record) -> np.ndarray:
    """The record's picture file, (H, W, 3) float32 RGB in [0, 1]."""
    assert record.picture is not None
    return _read(record.picture, record.picture.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)  # records about one picture follow each other
def _read(path: pathlib.Path, changed: int) -> np.ndarray:
    return pictures.read(path)


class OnDisk:
    """A source of records on disk; see `source.Source`.

    Args:
      name: of the set.
      records: in the set's order.
      answers: task -> `(record, picture) -> (label, valid, words)`.
      picture: reads a record's picture, (H, W, 3) float32 RGB in [0, 1].
      released: how many records the set's files list, those that its rules drop among them; as
        many as `records` unless given. Kept as an attribute.
      raw: task -> whether a record's truth, raw numbers whose ending tells no format, has the
        length that it must have; True where that cannot be told.

    Raises:
      ValueError: there are no records.
    """

    def __init__(
        self,
        name: str,
        records: Sequence[Record],
        answers: Mapping[str, Callable[[Record, np.ndarray], Answer]],
        picture: Callable[[Record], np.ndarray] = read_picture,
        released: int | None = None,
        raw: Mapping[str, Callable[[Record], bool]] = MappingProxyType({}),
    ) -> None:
        if not records:
            raise ValueError(f"{name} has no records: check the folder against the expected tree")
        self.name = name
        self.tasks = tuple(answers)
        self.released = len(records) if released is None else released
        self._records = tuple(records)
        self._answers = answers
        self._raw = raw
        self._reads_whole = picture is read_picture
        # The queries of a group ask one record for several tasks in a row.
        self._picture = functools.lru_cache(maxsize=1)(lambda index: picture(self._records[index]))

    def __len__(self) -> int:
        return len(self._records)

    def key(self, index: int) -> str:
        """The name of record `index`, set and all."""
        return f"{self.name}/{self._records[index].name}"

    def files(self, index: int, task: str) -> tuple[pathlib.Path, ...]:
        """The files that record `index` needs for a task."""
        record = self._records[index]
        shown = () if record.picture is None else (record.picture,)
        return (*shown, *record.truth.get(task, ()))

    def raw(self, index: int, task: str, path: pathlib.Path) -> Callable[[], bool] | None:
        """What tells whether a raw file has the length that it must have; None if it is not raw."""
        record = self._records[index]
        if task not in self._raw or path not in record.truth.get(task, ()):
            return None
        return functools.partial(self._raw[task], record)

    def released_picture(self, index: int) -> np.ndarray | None:
        """Record `index`'s picture file, (H, W, 3), where the reader cuts or turns it; else None.

        None too where the picture is no file of its own. Errors as of `example`.
        """
        path = self._records[index].picture
        if self._reads_whole or path is None or path.suffix.lower() not in pictures.ENDINGS:
            return None
        with bad_record(self.key(index)):
            return read_picture(self._records[index])

    def example(self, index: int, task: str) -> Example:
        """Record `index` as an example of a task, at its own size.

        Raises:
          IndexError: `index` is outside 0 .. len - 1.
          ValueError: the set does not have the task.
          BadRecord: a file is missing, damaged, or contradicts another.
          OSError: a file cannot be read now, see `bad_record`.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside 0 .. {len(self) - 1} of {self.name}")
        if task not in self.tasks:
            raise ValueError(f"{self.name} cannot answer {task!r}: it has {self.tasks}")
        record = self._records[index]
        key = self.key(index)
        with bad_record(key):
            shown = () if record.picture is None else (self._picture(index),)
            picture = shown[0] if shown else np.zeros((1, 1, 3), np.float32)
            if picture.ndim != 3 or picture.shape[2] != 3 or not _fits(picture.shape):
                raise ValueError(
                    f"{record.picture} holds a picture of shape {picture.shape}: it must be "
                    f"(H, W, 3), of {pictures.MAX_PIXELS} pixels at most"
                )
            label, valid, words = self._answers[task](record, picture)
            axis = 1 if task == "referring_segmentation" else 0
            sizes = {picture.shape[:2], label.shape[axis : axis + 2], valid.shape}
            if len(sizes) > 1:
                raise ValueError(
                    f"the picture is {picture.shape[:2]}, the label {label.shape} and valid "
                    f"{valid.shape} in rows and columns: they must be of one size"
                )
        references = () if task == "image_generation" else shown  # the answer is not shown
        return Example(task, key, references, label, valid, words)


@contextlib.contextmanager
def bad_record(key: str) -> Iterator[None]:
    """Turns what missing or damaged files make readers raise into a `BadRecord` of that key.

    Raises:
      OSError: the network, the rights, the disk itself; it may pass, and another record in this
        one's place would be another batch than after a restart. Names the record.
    """
    try:
        yield
    except source.BadRecord:
        raise
    except Exception as e:
        if _may_pass(e):
            raise OSError(f"record {key} cannot be read now: {type(e).__name__}: {e}") from e
        if isinstance(e, ValueError):
            raise source.BadRecord(key, str(e)) from e
        if isinstance(e, FileNotFoundError):
            raise source.BadRecord(key, f"missing file: {e.filename or e}") from e
        if isinstance(e, (OSError, EOFError, RuntimeError, ArithmeticError, *_WRONG_FORM)):
            raise source.BadRecord(key, f"damaged file: {type(e).__name__}: {e}") from e
        raise


def _may_pass(error: Exception) -> bool:
    """Whether an error says nothing about the file that was read."""
    if not isinstance(error, OSError):
        return _PASSING.search(str(error)) is not None
    if isinstance(error, FileNotFoundError):
        return False
    if error.errno is not None:
        return error.errno not in _NO_FILE
    # What files hold is told by libraries in an OSError without a number.
    return type(error) is not OSError or _PASSING.search(str(error)) is not None


@contextlib.contextmanager
def bad_index(*paths: pathlib.Path) -> Iterator[None]:
    """Turns what an index of another form makes its reader raise into a ValueError that names it.

    Args:
      paths: of the files, one of which must be it.
    """
    try:
        yield
    except (ValueError, *_WRONG_FORM) as e:
        seen = str(e) if isinstance(e, ValueError) else f"{type(e).__name__}: {e}"
        raise ValueError(
            f"{' or '.join(map(str, paths))} has not the form of the released file: {seen}"
        ) from e


def unreleased(record: Record, picture: np.ndarray) -> Answer:
    """The answer of a prompt set: a picture that nobody has drawn, known nowhere."""
    return np.zeros_like(picture), np.zeros(picture.shape[:2], bool), record.entry


def folder(root: str, *parts: str) -> pathlib.Path:
    """A folder of the released tree; ValueError if it is not there."""
    path = pathlib.Path(root, *parts)
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder: unpack the data so that it is one")
    return path


def file(root: str, *parts: str) -> pathlib.Path:
    """A file of the released tree; ValueError if it is not there."""
    path = pathlib.Path(root, *parts)
    if not path.is_file():
        raise ValueError(f"{path} is missing: it belongs to the released tree")
    return path


def inside(root: pathlib.Path, name: str) -> pathlib.Path:
    """The file that an index names; ValueError for a name that leads out of the folder."""
    if os.path.isabs(name) or ".." in pathlib.PurePath(name).parts:
        raise ValueError(f"the file name {name!r} leads out of {root}: the index is not to be used")
    return root / name


def table(path: pathlib.Path) -> Any:
    """Reads a JSON file; ValueError names it if it is none."""
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise ValueError(f"{path} is no JSON, it may be half-downloaded: {e}") from e


def array(path: pathlib.Path) -> np.ndarray:
    """Reads a .npy file without pickle.

    Raises:
      ValueError: it is truncated, no array, holds objects, or more than the pixels of a picture.
    """
    mapped = mapped_array(path)
    check_size(str(path), mapped.shape)
    return np.array(mapped)


def mapped_array(path: pathlib.Path) -> np.ndarray:
    """Looks at a .npy file without pickle; only its header is read.

    Raises:
      ValueError: it is truncated, no array, or holds objects.
      OSError: it is missing or no file.
    """
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as e:  # NumPy raises what the broken bytes of the header happen to hit
        raise ValueError(f"{path} is truncated or no plain array: {e!r}") from e
    if not isinstance(mapped, np.ndarray):
        mapped.close()
        raise ValueError(f"{path} is truncated or no plain array: it is an archive of several")
    return mapped


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Refuses an array (H, W, ...) of more pixels than a picture may have, before it is read.

    Args:
      name: what to call it in the message.
      shape: as its file says.

    Raises:
      ValueError: it has more.
    """
    if not _fits(shape):
        raise ValueError(f"{name} has shape {shape}, more than {pictures.MAX_PIXELS} pixels")


def _fits(shape: tuple[int, ...]) -> bool:
    return math.prod(shape[:2]) <= pictures.MAX_PIXELS


def library(name: str) -> Any:
    """Imports a package that only benchmarks need."""
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise ImportError(
            f"reading this set needs {name.split('.')[0]}: pip install 'vision-banana[benchmarks]'"
        ) from e
