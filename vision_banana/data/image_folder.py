"""A folder of pictures with captions.

A caption stands in a text file beside its picture (`cat.jpg`, `cat.txt`), or in `captions.jsonl`
or `metadata.jsonl` in the folder, one JSON object a line: `file_name`, and `text` or `caption`,
a string or a list of strings.
"""

import functools
import json
from collections.abc import Iterator
from typing import Any

from etils import epath

from vision_banana.data import captioned, pictures, source
from vision_banana.tasks.task import Example

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_TABLES = ("captions.jsonl", "metadata.jsonl")


class ImageFolder:
    """One record for each picture and caption of it, in the order of file names.

    Args:
      path: the folder; folders in it are searched too.
      max_pixels: larger pictures are bad records.

    Raises:
      ValueError: a folder that is not there or has no pictures, or a table with a broken line.
    """

    tasks = ("image_generation",)

    def __init__(self, path: str, max_pixels: int = pictures.MAX_PIXELS):
        self._folder = epath.Path(path)
        files = listing(path)
        self.name = f"image_folder/{self._folder.name}"
        self._max_pixels = max_pixels
        self._records: list[tuple[epath.Path, str | None]] = []
        for file, found in files:
            captions: list[str | None] = [*found] or [None]
            self._records += [(file, caption) for caption in captions]
        self._read = functools.lru_cache(maxsize=8)(self._decode)

    def __len__(self) -> int:
        return len(self._records)

    def example(self, index: int, task: str) -> Example:
        """The picture to generate, with its caption.

        Raises:
          BadRecord: no caption, or a picture that cannot be read.
          ValueError: another task than generation.
        """
        if task not in self.tasks:
            raise ValueError(f"{self.name} cannot answer {task!r}: it has {self.tasks}")
        file, caption = self._records[index]
        key = f"{self.name}/{file.relative_to(self._folder)}"
        if caption is None:
            raise source.BadRecord(key, "no caption")
        return captioned.example(key, self._read(file, key), caption)

    def _decode(self, file: epath.Path, key: str) -> Any:
        try:
            return pictures.read(file, self._max_pixels)
        except ValueError as e:
            raise source.BadRecord(key, f"unreadable picture: {e}") from e


def listing(path: str) -> list[tuple[epath.Path, list[str]]]:
    """The pictures of a folder in the order of their names, each with its captions.

    Raises:
      ValueError: a folder that is not there or has no pictures, or a table with a broken line.
    """
    folder = epath.Path(path)
    if not folder.is_dir():
        raise ValueError(f"image folder {path} is not a folder: check the path")
    files = sorted(f for f in _walk(folder) if f.suffix.lower() in PICTURES)
    if not files:
        raise ValueError(f"image folder {path} has no pictures ({sorted(PICTURES)})")
    table = _table(folder)
    return [(f, table.get(str(f.relative_to(folder))) or _sidecar(f)) for f in files]


def _walk(folder: epath.Path) -> Iterator[epath.Path]:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _sidecar(file: epath.Path) -> list[str]:
    beside = file.with_suffix(".txt")
    text = beside.read_text().strip() if beside.exists() else ""
    return [text] if text else []


def _table(folder: epath.Path) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for name in _TABLES:
        file = folder / name
        if not file.exists():
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text = row["text"] if "text" in row else row["caption"]
                found = [text] if isinstance(text, str) else list(text)
                captions.setdefault(row["file_name"], []).extend(t for t in found if t.strip())
            except (ValueError, KeyError, TypeError, AttributeError) as e:
                raise ValueError(
                    f"{file}, line {number}: it must be a JSON object with file_name and text "
                    f"(or caption): {e!r}"
                ) from e
    return captions
