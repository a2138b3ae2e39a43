"""SIGTERM at any time saves what was reached, and the same command goes on to the same bits.

goodfire-ai/spd#741: the save on SIGTERM never came, since it was looked for only between steps.
torchtitan#3907 and #647: the second resume was wrong though the first was right.
"""

import itertools
import os
import signal
import time

import jax
import numpy as np
import pytest
import tiny_run

from vision_banana import train
from vision_banana.training import record_log
from vision_banana.training.checkpoint import Checkpoints
from vision_banana.training.preemption import Preempted


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def tiny(monkeypatch):
    tiny_run.install(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without a stop: its final state and its records."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        tiny_run.install(patch)
        tiny_run.run(folder, tiny_run.config())
        return tiny_run.final(folder, tiny_run.config()), record_log.read(str(folder))


def steps(folder):
    return Checkpoints(str(folder), read_only=True).steps()


def check_the_end(folder, whole):
    state, records = whole
    jax.tree.map(np.testing.assert_array_equal, tiny_run.final(folder, tiny_run.config()), state)
    assert record_log.read(str(folder)) == records


def during_compilation(patch):
    real = train.train_step.compile_step

    def compile_step(*args):
        terminate()
        return real(*args)

    patch.setattr(train.train_step, "compile_step", compile_step)


def during_a_step(patch, number=2):
    real, counter = train.sharding.to_devices, itertools.count(1)

    def to_devices(*args):
        if next(counter) == number:
            terminate()
        return real(*args)

    patch.setattr(train.sharding, "to_devices", to_devices)


def during_a_save(patch):
    real = Checkpoints.save

    def save(self, *args):
        real(self, *args)
        terminate()  # Orbax still writes

    patch.setattr(Checkpoints, "save", save)


def during_an_evaluation(patch):
    def write(*args):
        terminate()
        time.sleep(30)
        raise AssertionError("the evaluation went on")

    patch.setattr(train.panels, "write", write)


@pytest.mark.parametrize(
    "when, reached",
    [
        (during_compilation, []),
        (during_a_step, [2]),
        (during_a_save, [4]),
        (during_an_evaluation, [3]),
    ],
)
def test_a_request_to_stop_at_any_time(tiny, whole, tmp_path, when, reached):
    panels = 3 if when is during_an_evaluation else 0
    with pytest.MonkeyPatch.context() as patch:
        when(patch)
        with pytest.raises(Preempted):
            tiny_run.run(tmp_path, tiny_run.config(panels_every=panels))
    assert steps(tmp_path) == reached
    tiny_run.run(tmp_path, tiny_run.config())
    check_the_end(tmp_path, whole)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_three_interruptions_in_a_row(tiny, whole, tmp_path):
    for number in (2, 1, 2):
        with pytest.MonkeyPatch.context() as patch:
            during_a_step(patch, number)
            with pytest.raises(Preempted):
                tiny_run.run(tmp_path, tiny_run.config())
    assert steps(tmp_path)[0] == 5
    tiny_run.run(tmp_path, tiny_run.config())
    check_the_end(tmp_path, whole)
