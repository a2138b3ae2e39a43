"""A folder of pictures with captions.

A caption stands in a text file beside its picture (`cat.jpg`, `cat.txt`), or in `captions.jsonl`
or `metadata.jsonl` in the folder, one JSON object a line: `file_name`, and `text` or `caption`,
a string or a list of strings.
"""

import functools
import json
from collections.abc import Iterator

from etils import epath

from vision_banana.data import captioned, on_disk, pictures
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
            captions: list[str | None] = [*found] or [None]  # None stands beside the picture
            self._records += [(file, caption) for caption in captions]
        self._read = functools.lru_cache(maxsize=8)(captioned.picture)

    def __len__(self) -> int:
        return len(self._records)

    def example(self, index: int, task: str) -> Example:
        """The picture to generate, with its caption.

        Raises:
          BadRecord: no caption, or a picture or caption that cannot be read.
          ValueError: another task than generation.
        """
        if task not in self.tasks:
            raise ValueError(f"{self.name} cannot answer {task!r}: it has {self.tasks}")
        file, caption = self._records[index]
        key = f"{self.name}/{file.relative_to(self._folder)}"
        with on_disk.bad_record(key):
            if caption is None:
                caption = sidecar(file)
            if not caption:
                raise ValueError("no caption")
            return captioned.example(key, self._read(file, self._max_pixels), caption)


def listing(path: str) -> list[tuple[epath.Path, list[str]]]:
    """The pictures of a folder in the order of their names, each with its captions in tables.

    Those without any may have a `sidecar`, which is not read here.

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
    return [(f, table.get(str(f.relative_to(folder)), [])) for f in files]


def _walk(folder: epath.Path) -> Iterator[epath.Path]:
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def sidecar(file: epath.Path) -> str:
    """The caption in the text file beside a picture, "" where there is none.

    Raises:
      ValueError: it is no UTF-8.
    """
    beside = file.with_suffix(".txt")
    return captioned.text(beside.read_bytes()).strip() if beside.exists() else ""


def _table(folder: epath.Path) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for name in _TABLES:
        file = folder / name
        if not file.exists():
            continue
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
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
