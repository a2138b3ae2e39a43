"""Two processes as one, through train, checkpoint, evaluation and sampling, by the real commands.

torchtitan#811 and maxtext#2537: the position in the data was wrong with another number of hosts.
orbax#648, orbax#683 and maxdiffusion#379: another number of devices could not restore.
orbax#3458: a save must not depend on the preemption service.
"""

import signal
import time

import commands
import jax
import nano_run
import numpy as np
import pytest

from experiments.restarts import report
from vision_banana.evaluation import results
from vision_banana.training import json_lines, record_log

STEPS = 60
PATIENCE = 900
TRAIN = (
    "-m", "vision_banana.train", "--config", commands.CONFIG, f"--config.steps={STEPS}",
    "--config.checkpoint_every=50",
    "--config.data.mixture.pictures.source.name=slow_scenes:SlowScenes",
)  # fmt: skip

ASK = """
import sys
from vision_banana import evaluate, sample
from vision_banana.evaluation import score

score.BLIND_RECORDS = 8
workdir, *flags = sys.argv[1:]
evaluate.main(["--workdir", workdir, "--tasks=depth", "--steps=1", "--count=4", *flags])
sys.exit(sample.main(["--workdir", workdir, "--prompt", "a red cube in a room"]))
"""


TOGETHER = """
import sys
import jax
import jax.numpy as jnp
import nano_run
import numpy as np
from vision_banana.data import language
from vision_banana.evaluation import predict
from vision_banana.training import distributed, pretrained, sharding, update_guard
from vision_banana.training.checkpoint import Checkpoints
from vision_banana.training.checkpoint_reader import Damaged, Reader

folder, address, count, process = (x.split("=")[-1] for x in sys.argv[1:])
distributed.initialize(address, int(count), int(process))

# One shard lies on both processes: they must bring the same rows, or their halves differ.
mesh = sharding.make_mesh({"replica": 1, "fsdp": 1, "tensor": 4})
part = sharding.batch_part(mesh)
assert part == (0, 1, process == "0", (0,)), part
rows = np.arange(12, dtype=np.float32).reshape(3, 4)
batch = sharding.to_devices({"x": rows[[*part.rows(3)]]}, mesh)
assert batch["x"].shape == (3, 4)

# On a TPU's grid the shards of a process are not neighbours: still the batch of one process.
grid = np.array(jax.devices())[[0, 2, 1, 3]].reshape(2, 2, 1)
part = sharding.batch_part(jax.sharding.Mesh(grid, sharding.AXES))
assert part == (int(process), 2, True, (0, 2) if process == "0" else (1, 3)), part
places = np.arange(8)
placed = sharding.to_devices({"x": places[[*part.rows(8)]]}, jax.sharding.Mesh(grid, sharding.AXES))
for shard in placed["x"].addressable_shards:
    assert (shard.data == places[shard.index]).all(), (shard.index, shard.data)

# Weights are spread over both, so that fingerprints are computed together.
def layout(x):
    spec = jax.sharding.PartitionSpec(*[None, "tensor"][: np.ndim(x)])
    return jax.sharding.NamedSharding(mesh, spec)
def make(x):
    return jax.make_array_from_callback(np.shape(x), layout(x), lambda i: np.asarray(x)[i])
state = {"params": {"w": rows}, "ema": {"w": rows}, "opt_state": {}, "guard": update_guard.init()}
saved = Checkpoints(folder, keep=2)
for step in (3, 5):
    saved.save(jax.tree.map(make, state | {"step": np.int32(step)}), {"config": {}})

# The files of step 5 are damaged for one process alone.
real = Reader._read
def read(self, step, name, args):
    if (process, step, name) == ("1", 5, "ema"):
        raise Damaged("a torn file")
    return real(self, step, name, args)
saved.last_saved()
Reader._read = read
abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=layout(x)),
                        state | {"step": np.int32(0)})
assert int(saved.restore(abstract)["step"]) == 3
assert saved.steps() == [3]
saved.close()

# Weights to begin with, from a folder that was exported before.
mesh = sharding.make_mesh({"replica": 1, "fsdp": 4, "tensor": 1})
trained = nano_run.model()
loaded = pretrained.load_weights(f"{folder}_exported", trained.model, mesh, language.describe())
averaged = jax.tree.map(lambda x: x.copy(), loaded)
for here, there in zip(*map(jax.tree.leaves, (averaged, trained.params)), strict=True):
    for shard in here.addressable_shards:
        exported = there[shard.index].astype(jnp.bfloat16)
        np.testing.assert_array_equal(shard.data, exported.astype(np.float32))

# A run reads more records than a number of 32 bits counts.
assert distributed.total([3_000_000_000, 7]) == [6_000_000_000, 14]

# What is drawn together while training is what one process draws.
rng = np.random.default_rng(0)
asked = {"tokens": rng.integers(0, 9, (3, 2, 64)), "shape": (16, 16),
         "references": rng.random((3, 1, 16, 16, 3), np.float32),
         "reference_mask": np.ones((3, 2, 1), bool)}
alone = predict.build(trained.model)(trained.params, jax.random.key(0), asked)
params = jax.tree.map(
    lambda x, layout: jax.make_array_from_callback(x.shape, layout, lambda i: x[i]),
    trained.params, sharding.tree_shardings(trained.params, mesh))
drawn = predict.build(trained.model)(params, jax.random.key(0), asked)
np.testing.assert_allclose(drawn, alone, atol=1e-4)
print("all is well", process)
"""


def run(arguments, tmp_path, *, devices, flags=((),), name, **more):
    """Starts one process for each list of flags; returns them with their log's path."""
    env = commands.environment(devices, **more)
    log = tmp_path / f"{name}.log"
    return [commands.start([*arguments, *own], log, env=env) for own in flags], log


def wait(started):
    processes, log = started
    codes = [process.wait(PATIENCE) for process in processes]
    return codes, log.read_text(errors="replace")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two_processes")


def test_two_processes_stop_together_and_one_goes_on(folder):
    whole, shared = folder / "whole", folder / "shared"
    reference = run([*TRAIN, "--workdir", whole], folder, devices=4, name="whole")
    codes, said = wait(reference)
    assert codes == [0], said

    pair = run([*TRAIN, "--workdir", shared], folder, devices=2, flags=commands.together(2),
               name="pair", SLOW="0.04")  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    while len(record_log.read(str(shared))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    pair[0][1].send_signal(signal.SIGTERM)  # one is told; both stop at the same step
    codes, said = wait(pair)
    assert codes == [75, 75], said
    reached = max(record_log.read(str(shared)))
    assert [p.name for p in (shared / "checkpoints").glob("*")] == [
        str(reached)
    ] and reached < STEPS

    codes, said = wait(run([*TRAIN, "--workdir", shared], folder, devices=4, name="one"))
    assert codes == [0] and f"going on from step {reached}" in said, said
    assert "process_count: 2 then, 1 now" in said
    expected = record_log.read(str(whole))
    assert record_log.read(str(shared)) == expected and list(expected) == list(range(1, STEPS + 1))
    a, b = (report.arrays(path, STEPS) for path in (whole, shared))
    assert a.keys() == b.keys()
    # Sums run in another order, and Adam turns the noise of a gradient that is nearly zero into
    # steps of full size: single numbers differ, all of them together hardly.
    for part in ("params", "ema"):
        names = [name for name in a if name.startswith(part)]
        apart = sum(np.sum((a[name] - b[name]) ** 2) for name in names)
        assert apart < 1e-4 * sum(np.sum(a[name] ** 2) for name in names)  # 1 % of the norm
    logs = [{line["step"]: line for line in json_lines.read(path / "metrics.jsonl")} for path
            in (whole, shared)]  # fmt: skip
    # Both logged the loss of every task, of all queries: its mean, weighed, is the loss.
    tasks = ("loss/depth", "loss/image_generation")
    for line in [line for step, line in logs[1].items() if step <= reached]:
        parts = [line[name] for name in tasks if name in line]
        assert min(parts) <= line["loss"] * 1.001 and line["loss"] <= max(parts) * 1.001
    alike = [step for step in logs[0] if step > reached + 5]
    for name in ("loss", *tasks):
        found = [[log[step].get(name, 0.0) for step in alike] for log in logs]
        np.testing.assert_allclose(*found, rtol=0.02 if name == "loss" else 0.05, err_msg=name)


def test_where_one_process_fails_all_end_at_once_with_its_code(folder):
    """It begins with the weights of the run before, which are better than new ones."""
    changed = (
        "--config.data.mixture.pictures.source.name=slow_scenes:BrokenScenes",
        f"--config.init_from={folder / 'whole'}",
    )
    pair = run([*TRAIN, *changed, "--workdir", folder / "broken"], folder, devices=2,
               flags=commands.together(2), name="broken")  # fmt: skip
    failed = "process 1 failed: the index of this set contradicts itself"
    while failed not in pair[1].read_text(errors="replace"):
        assert any(process.poll() is None for process in pair[0]), pair[1].read_text()[-3000:]
        time.sleep(0.1)
    told = time.monotonic()
    codes, said = wait(pair)
    assert codes == [2, 2], said
    assert time.monotonic() - told < 60  # and not the minutes that JAX waits for
    began, new = (json_lines.read(folder / run / "metrics.jsonl")[0] for run in ("broken", "whole"))
    assert began["step"] == new["step"] == 5 and began["loss"] < new["loss"]


def test_two_processes_evaluate_and_sample(folder):
    shared = folder / "shared"
    script = folder / "ask.py"
    script.write_text(ASK)
    pair = run([script, shared], folder, devices=2, flags=commands.together(2), name="ask")
    codes, said = wait(pair)
    assert codes == [0, 0], said
    lines = (shared / "results.jsonl").read_text().splitlines()
    rows = results.read(shared / "results.jsonl")
    assert len(lines) == len(rows) > 0  # one process wrote them, once
    assert {row["count"] for row in rows} == {4} and {row["task"] for row in rows} == {"depth"}
    assert (shared / "samples" / "a_red_cube_in_a_room_seed_0_image_generation.png").exists()


def test_what_two_processes_do_together(folder):
    script = folder / "together.py"
    script.write_text(TOGETHER)
    nano_run.write(folder / "state_exported")
    pair = run([script, folder / "state"], folder, devices=2, flags=commands.together(2),
               name="together")  # fmt: skip
    codes, said = wait(pair)
    assert codes == [0, 0] and said.count("all is well") == 2, said


def test_a_machine_with_tpus_joins_unless_they_are_switched_off(monkeypatch):
    from vision_banana.training import distributed

    monkeypatch.setattr(distributed.pathlib.Path, "glob", lambda self, pattern: [self / "accel0"])
    monkeypatch.setattr(distributed.importlib.util, "find_spec", lambda name: name)
    for value, joins in (("", True), ("tpu,cpu", True), ("cpu", False)):
        monkeypatch.setenv("JAX_PLATFORMS", value)  # an empty one is as good as none
        assert distributed._on_cloud_tpu() == joins
    monkeypatch.delenv("JAX_PLATFORMS")
    assert distributed._on_cloud_tpu()


def test_flags_that_belong_together(monkeypatch):
    from vision_banana.training import distributed

    with pytest.raises(ValueError, match="go together; got 'localhost:1', None and 0"):
        distributed.initialize("localhost:1", None, 0)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a: pytest.fail("not asked for"))
    distributed.initialize()
    monkeypatch.setattr(distributed, "_on_cloud_tpu", lambda: True)
    joined = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a: joined.append(a))
    distributed.initialize()
    distributed.initialize("localhost:1", 2, 1)
    assert joined == [(), ("localhost:1", 2, 1)]
