import json
import types

import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.models import flops
from vision_banana.models.generator import Generator
from vision_banana.pods import chips
from vision_banana.training import loss_parts, memory, meter

TASKS = ("image_generation", "depth")


def test_sums_by_task_and_time_by_hand():
    losses = jnp.array([[1.0, 2.0], [4.0, 8.0]])
    task = jnp.array([[1, 1], [0, 1]])
    t = jnp.array([[0.0, 0.249], [0.25, 1.0]])  # a sigmoid can round to 1
    parts = {name: np.asarray(x) for name, x in loss_parts.add_up(losses, task, t).items()}
    assert parts["by_task"].shape == (2, loss_parts.TASKS)
    assert loss_parts.named(parts["by_task"], parts["by_time"], TASKS) == [
        ("loss/image_generation", 4.0, 1.0),
        ("loss/depth", 11.0, 3.0),
        ("loss_at/t0.00-0.25", 3.0, 2.0),
        ("loss_at/t0.25-0.50", 4.0, 1.0),
        ("loss_at/t0.75-1.00", 8.0, 1.0),
    ]


class Writer:
    def __init__(self):
        self.lines = []

    def scalars(self, step, values):
        self.lines.append({"step": step, **values})


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved."""
    now = types.SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(meter.time, "perf_counter", lambda: now.seconds)
    return now


def measuring(writer, peak, log_every=2, log_records=False):
    config = {
        "steps": 5, "log_every": log_every, "guard": {"stop_after": 3}, "log_records": log_records,
        "data": {"groups": 4, "queries": 3, "size": 32},
    }  # fmt: skip
    run = types.SimpleNamespace(
        model=Generator(size="nano"),
        objective=types.SimpleNamespace(kept_share=0.5),
        mesh=types.SimpleNamespace(devices=np.zeros(8), local_devices=[]),
    )
    measured = meter.Meter(config, run, writer, TASKS, 0, lambda: None, peak)
    measured.judged = []
    return measured


def record(measured, step, depth, references=1, in_a_row=0, records=("a",)):
    """A step with queries of depth, of the given losses."""
    losses = jnp.array([depth])
    parts = loss_parts.add_up(losses, jnp.full(losses.shape, 1), jnp.full(losses.shape, 0.3))
    scalars = {"loss": np.mean(depth), "grad_norm": 2.0, "update_norm": 0.5 + step}
    counts = {"in_a_row": in_a_row, "skipped": in_a_row}
    batches = types.SimpleNamespace(records=records, waited=0.25, read=200, bad={"broken": 2})
    batches.check_share = lambda read, bad: measured.judged.append((read, bad))
    measured.record(step, batches, references, {**scalars, **counts, **parts})


def test_means_rates_and_utilisation_between_two_logs(clock):
    writer = Writer()
    measured = measuring(writer, peak=1e12)
    for step, (depth, references) in enumerate([([1.0], 1), ([4.0, 7.0], 0), ([9.0], 1)]):
        record(measured, step, depth, references)
        clock.seconds += 2.0
    (line,) = writer.lines
    assert line["step"] == 2 and line["loss"] == 3.25  # of the steps
    assert line["loss/depth"] == line["loss_at/t0.25-0.50"] == 4.0  # of three queries
    assert line["update_norm"] == 1.0
    assert not [name for name in line if "image_generation" in name or "t0.00" in name]
    assert line["seconds_per_step"] == 2.0 and line["images_per_second"] == 6.0
    model = Generator(size="nano")
    work = sum(
        sum(flops.train_step(model, flops.batch_of(model, 4, 3, r, (32, 32), 0.5)).values())
        for r in (1, 0)
    )
    assert line["mfu"] == pytest.approx(work / (4.0 * 8 * 1e12)) and work > 0
    measured.flush()
    assert len(writer.lines) == 1
    measured.log()  # what is left when a run is asked to stop
    measured.log()
    assert [row["step"] for row in writer.lines] == [2, 3] and writer.lines[1]["loss"] == 9.0


def test_skipped_updates_are_in_no_mean(clock):
    writer = Writer()
    measured = measuring(writer, peak=float("nan"))
    record(measured, 0, [1.0])
    record(measured, 1, [float("nan")], in_a_row=1)
    clock.seconds = 1.0
    measured.flush()
    (line,) = writer.lines
    assert line["loss"] == line["loss/depth"] == 1.0 and line["skipped_updates"] == 1
    assert np.isnan(line["mfu"])  # a peak that nobody knows
    assert json.dumps(measured.means())


@pytest.mark.parametrize(
    ("log_records", "processes", "count", "says"),
    [
        (False, 1, 64, ""),
        (False, 1, 66, "and 2 more; 'records' in the work folder will list (same command with"),
        (True, 1, 66, "and 2 more; 'records' in the work folder lists all, of every process"),
        (True, 2, 1, "r0; 'records' in the work folder lists all, of every process"),
    ],
)
def test_where_the_records_of_a_skipped_update_are(
    monkeypatch, log_records, processes, count, says
):
    monkeypatch.setattr(meter.jax, "process_count", lambda: processes)
    measured = measuring(Writer(), peak=1e12, log_records=log_records)
    record(measured, 0, [1.0], in_a_row=3, records=[f"r{i}" for i in range(count)])
    with pytest.raises(FloatingPointError, match=r"its records: r0") as caught:
        measured.flush()
    assert says in str(caught.value) and ("work folder" in str(caught.value)) is bool(says)


def test_peaks_of_devices():
    assert chips.peak_flops("TPU v5 lite") == 197e12 and chips.peak_flops("NVIDIA H200") == 989e12
    assert np.isnan(chips.peak_flops("cpu"))


def test_memory_of_devices_or_of_the_process():
    class Device:
        def __init__(self, stats):
            self.memory_stats = lambda: stats

    full = [Device({"peak_bytes_in_use": 3 * 2**30}), Device({"peak_bytes_in_use": 2**30})]
    assert memory.peak(full) == 3 * 2**30
    before = memory.peak([Device(None)])
    assert 2**26 < before < 2**37
    grown = np.ones(2**26)  # 512 MiB
    assert memory.peak([Device(None)]) >= before and grown[-1] == 1


def test_bad_records_are_those_of_all_processes(clock, monkeypatch):
    def total(mine):  # another process has tried as many records, and nine were bad
        return [mine[0] + 200, mine[1] + 9]

    monkeypatch.setattr(meter.distributed, "total", total)
    writer = Writer()
    measured = measuring(writer, peak=1e12, log_every=1)
    record(measured, 0, [1.0])
    clock.seconds = 1.0
    measured.flush()
    assert writer.lines[0]["bad_records"] == 11 and measured.records() == (400, 11)
    monkeypatch.setattr(meter.jax, "process_count", lambda: 2)
    record(measured, 1, [1.0])
    assert measured.judged == []  # one process judges its own as it reads them
    clock.seconds = 2.0
    measured.flush()
    assert measured.judged == [(400, 11)]
