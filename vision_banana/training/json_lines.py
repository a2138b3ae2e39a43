"""JSON lines in a file that grows, in a local folder or in a bucket.

A process that is killed may leave half a line; it is dropped when the file is opened again. A last
record that lacks its line's end alone is kept.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from etils import epath

from vision_banana.training import folders

_BUCKET_SECONDS = 60.0  # between two uploads, each of the whole file


class JsonLines:
    """Appends records to a file.

    A bucket's objects cannot grow, so there the whole file is written again: at `flush`, at
    `close` and about once a minute between.
    """

    def __init__(self, path: str | os.PathLike[str], start_step: int | None = None) -> None:
        """Opens a file, which is made with its folder where there is none.

        Args:
          path: the file, local or in a bucket.
          start_step: records with a later `step` are dropped, since a run that goes on from this
            step writes them again; None keeps all.

        Raises:
          ValueError: naming a line that is no JSON object; the file stays as it is.
        """
        self._path = epath.Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = self._path.read_text() if self._path.exists() else ""
        records = parse(text, str(path))
        if start_step is not None:
            records = [r for r in records if r.get("step", 0) <= start_step]
        self._text = "".join(json.dumps(r) + "\n" for r in records)
        if self._text != text:
            folders.write_whole(self._path, self._text)
        self._file = None if folders.in_bucket(self._path) else self._path.open("a")
        self._written = time.monotonic()

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds a record; a local file has it at once, whatever happens to the process."""
        line = json.dumps(record, allow_nan=False) + "\n"
        if self._file is not None:
            self._file.write(line)
            self._file.flush()
            return
        self._text += line
        if time.monotonic() - self._written > _BUCKET_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Makes sure that everything lies in the file."""
        if self._file is None:
            self._path.write_text(self._text)
            self._written = time.monotonic()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self.flush()
        if self._file is not None:
            self._file.close()


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads a file's records; half a line at its end, of a killed process, is left out.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: naming a line that is no JSON object.
    """
    return parse(epath.Path(path).read_text(), str(path))


def parse(text: str, name: str) -> list[dict[str, Any]]:
    """Reads records from text; see `read`."""
    *lines, rest = text.split("\n")
    records = [parse_line(line, name, number) for number, line in enumerate(lines, 1)]
    if rest:
        try:
            records.append(parse_line(rest, name, len(lines) + 1))
        except ValueError:
            if not (records or rest.startswith("{")):  # a file of something else
                raise
    return records


def parse_line(line: str | bytes, name: str, number: int) -> dict[str, Any]:
    """Reads one record; ValueError naming the file and the line where it is no JSON object."""
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise TypeError("no JSON object")
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name}, line {number} is no record ({error}): {line[:80]!r}; mend or delete the line"
        ) from error
    return record
