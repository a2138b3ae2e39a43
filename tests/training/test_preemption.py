"""SIGTERM at any time saves what was reached, and the same command goes on to the same bits.

goodfire-ai/spd#741: the save on SIGTERM never came, since it was looked for only between steps.
torchtitan#3907 and #647: the second resume was wrong though the first was right.
orbax#3458: without JAX's preemption service a save crashed.
torchtitan#1136: uneven shards changed the loss after a restart.
"""

import itertools
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import tiny_run

from vision_banana import train
from vision_banana.evaluation import panels
from vision_banana.training import json_lines, record_log
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

    def compile_step(run):
        terminate()
        return real(run)

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

    patch.setattr(panels, "write", write)


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


@pytest.mark.parametrize("devices", [2, 3])
def test_sides_that_the_mesh_does_not_divide(devices, tmp_path, monkeypatch):
    """The matrix of 3 x 3 lies in thirds on three devices, and whole on each of two."""
    tiny_run.install(monkeypatch, devices)
    monkeypatch.setattr(train.sharding, "SMALLEST_SHARDED", 1)
    c = tiny_run.config(mesh={"replica": 1, "fsdp": devices, "tensor": 1})
    c["data"]["groups"] = devices
    run = train.run_lib.build(c)
    layout = train.train_state.abstract_state(run.model, run.optimizer, run.mesh)["params"]
    part = layout["ends"]["out"].sharding.shard_shape((3, 3))
    assert part == ((1, 3) if devices == 3 else (3, 3))
    tiny_run.run(tmp_path / "whole", c)
    with pytest.MonkeyPatch.context() as patch:
        during_a_step(patch, 3)
        with pytest.raises(Preempted):
            tiny_run.run(tmp_path / "stopped", c)
    assert steps(tmp_path / "stopped") == [3]
    tiny_run.run(tmp_path / "stopped", c)
    folders = tmp_path / "whole", tmp_path / "stopped"
    losses = [[line["loss"] for line in json_lines.read(f / "metrics.jsonl")] for f in folders]
    assert losses[0] == losses[1] and len(losses[0]) == 6
    jax.tree.map(np.testing.assert_array_equal, *(tiny_run.final(f, c) for f in folders))


# JAX's own notice of SIGTERM, which holds for any number of processes; here it is one.
SYNC_POINT = """
import os, signal, sys, time
import jax, pytest, tiny_run
from vision_banana import train
from vision_banana.training.preemption import Preempted

jax.config.update("jax_enable_preemption_service", sys.argv[2] == "on")
jax.distributed.initialize(f"localhost:{sys.argv[3]}", 1, 0)
tiny_run.install(pytest.MonkeyPatch())
real, steps = train.sharding.to_devices, []

def to_devices(*args):
    steps.append(len(steps))
    if len(steps) == 2 and sys.argv[2] == "on":
        os.kill(os.getpid(), signal.SIGTERM)
    if len(steps) > 2:
        time.sleep(0.2)
    return real(*args)

train.sharding.to_devices = to_devices
try:
    tiny_run.run(sys.argv[1], tiny_run.config(steps=100 if sys.argv[2] == "on" else 6))
except Preempted:
    print("stopped", len(steps))
else:
    print("done", len(steps))
"""


@pytest.mark.parametrize("service", ["on", "off"])
def test_with_and_without_the_preemption_service(tmp_path, service):
    script = tmp_path / "main.py"
    script.write_text(SYNC_POINT)
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    here = pathlib.Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run"), service, str(port)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, here.parents[:2]))},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said, number = done.stdout.split()[-2:]
    if service == "off":
        assert (said, number) == ("done", "6") and "preemption service is off" in done.stderr
    else:
        assert said == "stopped" and 2 < int(number) < 100
    assert steps(tmp_path / "run")[0] == int(number)
