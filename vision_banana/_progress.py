"""How a command says what it is doing while nothing else is seen."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

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


@contextlib.contextmanager
def stages(count: int) -> Iterator[Callable[[str], contextlib.AbstractContextManager[None]]]:
    """A bar with the time left over so many stages; gives what begins one, as `stage` does."""
    with tqdm.tqdm(total=count, unit="part") as bar:

        @contextlib.contextmanager
        def begin(text: str) -> Iterator[None]:
            bar.set_description(text)
            yield
            bar.update()

        yield begin
