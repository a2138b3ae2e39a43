"""Being asked to stop: SIGTERM, which a scheduler sends some seconds before it takes the machine.

One process: a signal handler notes the request, whatever the program is doing, and the loop saves
after the step under way. Several processes: JAX tells all of them and picks the step at which all
save (`multihost_utils.reached_preemption_sync_point`).
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType

import jax
from absl import logging
from jax.experimental import multihost_utils

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command again goes on


class Preempted(Exception):
    """The run was asked to stop; what it reached is saved."""


class Preemption:
    """Notices requests to stop, while it is open."""

    def __init__(self) -> None:
        self._asked = self._interruptible = False
        self._together = jax.distributed.is_initialized()
        self._served: bool = jax.config.values["jax_enable_preemption_service"]
        self._previous: object = None

    def __enter__(self) -> "Preemption":
        if self._together:
            if not self._served:
                logging.warning(
                    "JAX's preemption service is off (jax_enable_preemption_service): a request "
                    "to stop is not noticed, and the run goes on from its last checkpoint"
                )
        elif threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)  # type: ignore[arg-type]

    def asked(self, step: int) -> bool:
        """Whether to stop after `step` steps; every process gets the same answer.

        Several processes must ask at every step.
        """
        if self._together and self._served:
            self._asked |= multihost_utils.reached_preemption_sync_point(step)
        return self._asked

    def interruptible(self, work: Callable[[], None]) -> None:
        """Does work that changes nothing, and gives it up as soon as the request comes.

        Several processes finish it, since they must stop at the same place.
        """
        try:
            try:
                self._interruptible = True
                if not self._asked:
                    work()
            finally:
                self._interruptible = False
        except Preempted:
            pass

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked = True
        if self._interruptible:
            self._interruptible = False  # once: clearing up must not be interrupted again
            raise Preempted
