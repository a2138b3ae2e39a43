"""Where a run's files lie: a local folder, or a bucket (`gs://...`)."""

import os

from etils import epath


def in_bucket(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a bucket's, whose files are written whole and cannot grow."""
    return "://" in os.fspath(path)


def full(path: str | os.PathLike[str]) -> epath.Path:
    """A path that does not depend on the current folder; "~" is the home folder."""
    found = epath.Path(path)
    return found if in_bucket(found) else found.expanduser().absolute()


def replace(path: epath.Path, text: str) -> None:
    """Writes a file so that a kill leaves the old or the new one, never a part."""
    if in_bucket(path):
        path.write_text(text)  # an upload is whole or does not happen
        return
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
