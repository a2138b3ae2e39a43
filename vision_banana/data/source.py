"""What a source of examples is."""

from typing import Protocol

from vision_banana.tasks.task import Example


class BadRecord(ValueError):
    """A record that cannot be used; the mixture replaces it by a rule that depends on its index.

    Attributes:
      key: name of the record ("scenes/train/17").
      reason: what is wrong with it.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"bad record {key!r}: {reason}")
        self.key = key
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadRecord"], tuple[str, str]]:
        """Lets the error cross from a worker process, which rebuilds it from its two arguments."""
        return (BadRecord, (self.key, self.reason))


class Source(Protocol):
    """Random access to examples; runs in data workers, so NumPy only.

    Attributes:
      name: name of the source ("scenes/train").
      tasks: names of the tasks that it can answer, keys of `vision_banana.tasks.TASKS`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def tasks(self) -> tuple[str, ...]: ...  # noqa: D102

    def __len__(self) -> int: ...

    def example(self, index: int, task: str) -> Example:
        """Record `index` as an example of `task`, at the source's own size.

        The same arguments always give the same example, whatever was asked before. Asking the
        same index for another task is cheap.

        Raises:
          IndexError: `index` is outside 0 .. len - 1.
          ValueError: `task` is not among `tasks`.
          BadRecord: the record cannot be used.
        """
        ...
