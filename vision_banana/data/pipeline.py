"""Batches for a training run: batch k is a pure function of the configuration and k.

Groups are batched while the pipeline is still a grain `MapDataset`, so the order does not depend
on the number of threads, workers or processes, the data position is the step number, and resuming
at step k is `dataset[k:]`.
"""

import collections
import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import numpy as np
from absl import flags

from vision_banana.data import mixture
from vision_banana.tasks.task import Task

Batch = dict[str, Any]

_LISTS = ("records", "bad")  # parts of a group that are no arrays
_STEPS = 1 << 40  # a run ends before its data does
_SEEN_BEFORE_LIMIT = 200  # records seen before the share of bad ones means anything


class _Groups:
    """The groups of this process's rows of every batch, one after the other."""

    def __init__(self, groups: mixture.Mixture, rows: Sequence[int]):
        self._groups, self._rows = groups, tuple(rows)

    def __len__(self) -> int:
        return _STEPS * len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        step, place = divmod(int(index), len(self._rows))
        return self._groups.group(step, self._rows[place])


def dataset(
    entries: Sequence[Mapping[str, Any]],
    *,
    groups: int,
    queries: int,
    height: int,
    width: int,
    text_length: int,
    seed: int,
    rows: Sequence[int] | None = None,
    tasks: Mapping[str, Task] | None = None,
) -> grain.MapDataset:
    """The batches of a run as a random-access sequence; `dataset(...)[k]` is batch k.

    Args:
      entries: the mixture, see `mixture.Entry`.
      groups: G, groups in the global batch.
      queries: Q, queries in a group.
      height: of every picture, in pixels.
      width: of every picture, in pixels.
      text_length: L, tokens of a prompt.
      seed: of the run.
      rows: which groups of the global batch to read, by number, in this order; None means all.
      tasks: name -> Task; None means all that exist.

    Returns:
      Batches, dicts of arrays, of G rows: target (G, Q, H, W, 3) float32 RGB in [0, 1], weight (G,
      Q, H, W) float32, tokens (G, Q, L) int32 with 0 for padding, task (G, Q) int32 (the place of
      the name in `tasks`), references (G, R, H, W, 3) float32 in [0, 1] with one R per batch, and
      reference_mask (G, Q, R) bool, whether a query sees a reference. `records` holds the keys of
      the records used, in the order of the groups, and `bad` the (key, reason) of each record that
      was replaced.

    Raises:
      ValueError: rows that the batch does not have, or an impossible mixture.
    """
    for name, value in (("groups", groups), ("queries", queries), ("text_length", text_length)):
        if value < 1:
            raise ValueError(f"{name}={value}: it must be at least 1")
    rows = range(groups) if rows is None else rows
    if not set(rows) <= set(range(groups)) or not len(set(rows)) == len(rows) > 0:
        raise ValueError(
            f"rows {list(rows)} of a batch of groups={groups}: they must be different numbers "
            f"from 0 to {groups - 1}"
        )
    drawn = mixture.Mixture(entries, queries, height, width, text_length, seed, tasks)
    return grain.MapDataset.source(_Groups(drawn, rows)).batch(len(rows), batch_fn=_stack)


class Batches:
    """Iterates over the batches of a dataset from a step on, reading ahead.

    Args:
      dataset: what `dataset` returned.
      start_step: the first batch's number.
      workers: processes that read ahead; 0 means a thread of this process.
      ahead: batches that are kept ready (by each worker).
      bad_limit: the share of records that may be replaced before `next` raises ValueError.
      alone: whether no other process reads for this run; else who knows what the others have read
        calls `check_share`.
      before: the records that the run has tried until now, and how many of them were replaced.

    Attributes:
      waited: seconds that the last `next` took, which a training loop spent waiting.
      records: keys of the records in the last batch, in the order of its groups.
      read: how many records were tried, with those before.
      bad: how many of them were replaced, by reason (its part before a colon).
    """

    def __init__(
        self,
        dataset: grain.MapDataset,
        start_step: int = 0,
        workers: int = 0,
        ahead: int = 2,
        bad_limit: float = 0.01,
        alone: bool = True,
        before: tuple[int, int] = (0, 0),
    ):
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain hands the flags to its workers
        reading = grain.ReadOptions(num_threads=1, prefetch_buffer_size=ahead)
        stream = dataset[start_step:].to_iter_dataset(reading)
        if workers > 0:
            options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=ahead)
            stream = stream.mp_prefetch(options, worker_init_fn=_Watch(os.getpid()))
        self._open = [iter(stream)]
        # Runs at `close`, when the object goes, or at exit, whichever is first: an iterator left
        # open keeps its processes, and one left alive prints errors when the interpreter goes.
        self._stop = weakref.finalize(self, _close, self._open)
        self._bad_limit, self._alone = bad_limit, alone
        self.waited = 0.0
        self.records: tuple[str, ...] = ()
        self.read, replaced = before
        self.bad = collections.Counter({"before a restart": replaced} if replaced else {})

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        if not self._open:
            raise StopIteration
        start = time.perf_counter()
        batch = next(self._open[0])
        self.waited = time.perf_counter() - start
        self.records = batch.pop("records")
        self._count(batch.pop("bad"))
        # A worker's arrays lie in shared memory that outlives a process which ends with one in
        # hand; copies do not. (A thread that copies them can be ended with one in hand too.)
        return {name: np.array(value) for name, value in batch.items()}

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the workers; there is no next batch after it."""
        self._stop()

    def _count(self, bad: Sequence[tuple[str, str]]) -> None:
        self.read += len(self.records) + len(bad)
        for key, reason in bad:
            self.bad[reason.partition(":")[0]] += 1
            logging.warning("record %s replaced: %s", key, reason)
        if self._alone:
            self.check_share(self.read, sum(self.bad.values()))

    def check_share(self, read: int, bad: int) -> None:
        """Checks the share of records that could not be used.

        Args:
          read: records that were tried, by all processes.
          bad: how many of them were replaced.

        Raises:
          ValueError: it is above the limit, of records enough to mean anything.
        """
        if read >= _SEEN_BEFORE_LIMIT and bad > self._bad_limit * read:
            raise ValueError(
                f"{bad} of {read} records could not be used, above the limit of "
                f"{self._bad_limit:.1%} (config.data.max_bad_share): {dict(self.bad)}; look at the "
                "records that the log names and mend the data, or its path"
            )


def run_dataset(config: Mapping[str, Any], rows: Sequence[int] | None = None) -> grain.MapDataset:
    """The batches that a run's config describes, see `dataset`; nothing is read ahead yet.

    Args:
      config: the run's config, a plain dict with the keys of `configs/base.py`.
      rows: which groups of every batch to read, see `dataset`.

    Raises:
      ValueError: see `dataset`; also sources that do not exist or have no records.
    """
    data = config["data"]
    return dataset(
        mixture.with_vision_share(list(data["mixture"].values()), data["vision_share"]),
        groups=data["groups"],
        queries=data["queries"],
        height=data["size"],
        width=data["size"],
        text_length=config["model"]["text_length"],
        seed=config["seed"],
        rows=rows,
    )


def open_run(
    config: Mapping[str, Any],
    batches: grain.MapDataset | None = None,
    start_step: int = 0,
    before: tuple[int, int] = (0, 0),
    alone: bool = True,
) -> Batches:
    """Reads the batches that a run's config describes, from a step on.

    Args:
      config: the run's config, a plain dict with the keys of `configs/base.py`.
      batches: its `run_dataset`; one process's by default.
      start_step: the first batch's number.
      before: see `Batches`.
      alone: see `Batches`.
    """
    if batches is None:
        batches = run_dataset(config)
    data = config["data"]
    return Batches(
        batches,
        start_step,
        data["workers"],
        bad_limit=data["max_bad_share"],
        alone=alone,
        before=before,
    )


def _close(iterators: list[grain.DatasetIterator]) -> None:
    while iterators:
        iterators.pop().close()


class _Watch:
    """Prepares a worker: it ends when its parent does, whatever way that was."""

    def __init__(self, parent: int):
        self._parent = parent

    def __call__(self, worker: int, workers: int) -> None:
        # Nothing in a worker computes with JAX; should something, it must not take the accelerator.
        os.environ["JAX_PLATFORMS"] = "cpu"
        # A scheduler may tell every process of a job to end, and Ctrl-C does: the run still needs
        # its batches to reach a step at which it can save, and kills its workers itself.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(0.5)
        os._exit(1)


def _stack(groups: Sequence[Batch]) -> Batch:
    batch: Batch = {
        name: np.stack([g[name] for g in groups]) for name in groups[0] if name not in _LISTS
    }
    return {**batch, **{name: tuple(row for g in groups for row in g[name]) for name in _LISTS}}
