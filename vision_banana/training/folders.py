"""Where a run's files lie: a local folder, or a bucket (`gs://...`)."""

import contextlib
import errno
import os
from collections.abc import Iterator

from etils import epath

_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class NoRoom(OSError):
    """A disk, or what is granted of it, is full."""


def in_bucket(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a bucket's, whose files are written whole and cannot grow."""
    return "://" in os.fspath(path)


def full(path: str | os.PathLike[str]) -> epath.Path:
    """A path that does not depend on the current folder; "~" is the home folder."""
    found = epath.Path(path)
    return found if in_bucket(found) else found.expanduser().absolute()


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> epath.Path:
    """Writes a file so that whatever ends it leaves the old or the new one, never a part.

    Args:
      path: the file, local, whose folder is there, or in a bucket.
      content: bytes, or text, which is written in UTF-8.

    Returns:
      The file.
    """
    file = epath.Path(path)
    data = content.encode() if isinstance(content, str) else content
    if in_bucket(file):
        file.write_bytes(data)  # an upload is whole or does not happen
        return file
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")  # several processes may write one file
    try:
        fresh.write_bytes(data)
        return fresh.replace(file)
    except BaseException as error:
        with contextlib.suppress(OSError):  # such as a folder that is a file
            fresh.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:  # of a name that nobody gave
            raise type(error)(error.errno, error.strerror, str(file)) from error
        raise


@contextlib.contextmanager
def room_in(folder: str) -> Iterator[None]:
    """Says in a line that there was no room for what was written, and what to do.

    Args:
      folder: where it should go.

    Raises:
      NoRoom: in place of an OSError whose text tells of a full disk or quota.
    """
    try:
        yield
    except OSError as error:
        said = " ".join(str(error).split())
        if not any(full in said for full in _FULL):
            raise
        raise NoRoom(
            f"no room is left in {folder}: {said}; make some there, then the same command goes on"
        ) from error
