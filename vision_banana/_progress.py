"""How a command says what it is doing while nothing else is seen."""

import contextlib
import sys
import threading
from collections.abc import Iterator

import tqdm

SILENCE = 2.0  # seconds after which a user wonders


@contextlib.contextmanager
def stage(text: str) -> Iterator[None]:
    """Says on the error stream what goes on, once it has gone on for `SILENCE` seconds."""
    # Above a bar, where there is one.
    said = threading.Timer(SILENCE, lambda: tqdm.tqdm.write(f"{text} ...", file=sys.stderr))
    said.daemon = True
    said.start()
    try:
        yield
    finally:
        said.cancel()
