"""Votes of a study in a file that loses none: JSON lines, each on the disk before it counts."""

import datetime
import fcntl
import json
import os
import pathlib
import threading
from collections.abc import Mapping
from typing import Any

from vision_banana.evaluation import preference_study
from vision_banana.evaluation.preference_study import Showing, Study
from vision_banana.training import json_lines

_FIELDS = {"rater": str, "judge": bool, "pair": str, "ours_left": bool, "choice": str, "vote": int}

_Records = dict[tuple[bool, str, str], dict[str, Any]]  # by judge, rater and pair


class Votes:
    """The votes of one study, and a file to which new ones are added.

    The first line names the study; every other holds `rater`, `judge` (whether a program voted),
    `pair`, `ours_left`, `choice` ("left", "tie", "right"), `vote` (1 ours, 0 tie, -1 theirs) and
    `at`, the time. A process that was killed may leave half a line, whose vote nobody was told is
    stored; it is cut off when the file is opened again, and `repaired` says so.

    Attributes:
      repaired: what was repaired, a sentence; "" for nothing.
    """

    def __init__(self, path: str | os.PathLike[str], study: Study) -> None:
        """Opens the file, which is made where there is none, and keeps other processes out.

        Raises:
          ValueError: it holds another study's votes, a line that is no vote, or another process
            has it open.
        """
        self._path, self._study = pathlib.Path(path), study
        self._records: _Records = {}
        self._mutex = threading.Lock()
        self.repaired = ""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ValueError(f"{path} is in use by another process; stop it first") from error
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    def _read(self) -> None:
        data = self._path.read_bytes()
        self._records = _parse(data, str(self._path), self._study)  # or refuses it as it is
        rest = data.rpartition(b"\n")[2]
        if rest:
            self._repair(len(data) - len(rest), rest)
        if os.fstat(self._file).st_size == 0:
            self._append(_head(self._study))
            _sync_folder(self._path.parent)

    def _repair(self, end: int, rest: bytes) -> None:
        """Ends a last line that is whole, cuts off one that is not."""
        if _is_whole(rest):
            _write_all(self._file, b"\n")
            self.repaired = f"{self._path} lacked the end of its last line; its vote is kept"
        else:
            os.ftruncate(self._file, end)
            self.repaired = (
                f"{self._path} ended in half a vote, which was never confirmed and is asked again: "
                f"{rest[:80]!r}"
            )
        os.fsync(self._file)

    def _append(self, record: Mapping[str, Any]) -> None:
        """Writes a line, whole or not at all, and waits until it is on the disk."""
        before = os.fstat(self._file).st_size
        try:
            _write_all(self._file, json.dumps(record).encode() + b"\n")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)
            raise

    def add(self, rater: str, showing: Showing, choice: str, *, judge: bool = False) -> bool:
        """Stores a vote; when this returns, it is on the disk.

        Returns:
          Whether it is new: a rater's first vote on a pair stands.

        Raises:
          ValueError: another choice than "left", "tie" and "right".
          OSError: it could not be stored, and is not.
        """
        record = {
            "rater": rater,
            "judge": judge,
            "pair": showing.pair.name,
            "ours_left": showing.ours_left,
            "choice": choice,
            "vote": preference_study.vote(showing, choice),
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        key = judge, rater, showing.pair.name
        with self._mutex:
            if key in self._records:
                return False
            self._append(record)
            self._records[key] = record
        return True

    def left_to(self, rater: str, *, judge: bool = False) -> list[Showing]:
        """The pairs that a rater has not judged, in the rater's order."""
        return [
            showing
            for showing in preference_study.order(self._study, rater)
            if (judge, rater, showing.pair.name) not in self._records
        ]

    def records(self) -> list[dict[str, Any]]:
        """All votes."""
        with self._mutex:
            return list(self._records.values())

    def close(self) -> None:
        """Lets other processes have the file."""
        os.close(self._file)


def read(path: str | os.PathLike[str], study: Study) -> list[dict[str, Any]]:
    """All votes of a file, which may be in use and stays as it is; half a last line is left out.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it holds another study's votes, or a line that is no vote.
    """
    return list(_parse(pathlib.Path(path).read_bytes(), str(path), study).values())


def _head(study: Study) -> dict[str, Any]:
    """The first line of a study's votes."""
    return {"study": study.digest, "pairs": len(study.pairs)}


def _parse(data: bytes, name: str, study: Study) -> _Records:
    """The votes that a file's bytes hold; ValueError where they are no votes of the study."""
    lines = data.split(b"\n")
    if not _is_whole(lines[-1]):
        lines.pop()
    if not lines:
        if not json.dumps(_head(study)).encode().startswith(data):
            raise ValueError(f"{name} holds no votes: give --votes another file")
        return {}
    if json_lines.parse_line(lines[0], name, 1).get("study") != study.digest:
        raise ValueError(
            f"{name} holds votes of other pictures than these: give --votes another file"
        )
    records: _Records = {}
    for number, line in enumerate(lines[1:], 2):
        record = json_lines.parse_line(line, name, number)
        wrong = [field for field, kind in _FIELDS.items() if type(record.get(field)) is not kind]
        if wrong or record["vote"] not in (-1, 0, 1):
            raise ValueError(
                f"{name}, line {number} is no vote ({', '.join(wrong) or 'vote'}): "
                f"{line[:80]!r}; mend or delete the line"
            )
        records[record["judge"], record["rater"], record["pair"]] = record
    return records


def _is_whole(line: bytes) -> bool:
    """Whether a line without its end was written to its end."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _sync_folder(folder: pathlib.Path) -> None:
    """A new file's name is on the disk only once its folder is."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
