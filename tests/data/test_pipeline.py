import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time

import fake_source
import numpy as np
import pytest

from vision_banana.data import pipeline

ENTRIES = (
    fake_source.entry(0, weight=1.0, bad=(3, 4, 5)),
    fake_source.entry(1, weight=2.0, flip=True),
    fake_source.entry(2, {"image_editing": 1, "depth": 1}, pictures=2),
)


def _dataset(entries=ENTRIES, **changes):
    options = dict(groups=4, queries=2, height=4, width=4, text_length=16, seed=7)
    return pipeline.dataset(entries, tasks=fake_source.TASKS, **{**options, **changes})


def _take(count, *args, **options):
    with pipeline.Batches(*args, **options) as batches:
        return list(itertools.islice(batches, count))


def _equal(a, b):
    assert (
        set(a)
        == set(b)
        == {
            "target",
            "weight",
            "tokens",
            "task",
            "references",
            "reference_mask",
        }
    )
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.fixture(scope="module")
def expected():
    batches = [_dataset()[k] for k in range(9)]
    for batch in batches:
        del batch["bad"], batch["records"]
    return batches


def test_batches_have_one_of_few_shapes(expected):
    shapes = {batch["references"].shape for batch in expected}
    assert shapes == {(4, R, 4, 4, 3) for R in range(3)}
    assert all(b["target"].shape == (4, 2, 4, 4, 3) for b in expected)
    assert all(b["reference_mask"].shape == (4, 2, b["references"].shape[1]) for b in expected)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_order_does_not_depend_on_workers(expected, workers):
    for a, b in zip(_take(9, _dataset(), workers=workers), expected, strict=True):
        _equal(a, b)


def test_three_interruptions_equal_none(expected):
    parts = [_take(count, _dataset(), start) for start, count in ((0, 2), (2, 3), (5, 1), (6, 3))]
    for a, b in zip(itertools.chain(*parts), expected, strict=True):
        _equal(a, b)


@pytest.mark.parametrize("shares", ["0123", "01|23", "0|1|2|3", "03|12"])
def test_processes_share_one_global_batch(expected, shares):
    # torchtitan#811, maxtext#2537: another number of hosts had other data.
    shares = [[int(row) for row in share] for share in shares.split("|")]
    parts = [_dataset(rows=rows) for rows in shares]
    for k in range(5):
        joined = {name: np.empty_like(array) for name, array in expected[k].items()}
        for rows, part in zip(shares, parts, strict=True):
            for name, array in joined.items():
                array[rows] = part[k][name]
        _equal(joined, expected[k])


RESUME = """
import sys
import fake_source
from vision_banana.data import pipeline

if __name__ == "__main__":
    data = pipeline.dataset([fake_source.entry()], groups=10, queries=1, height=4, width=4,
                            text_length=16, seed=7, tasks=fake_source.TASKS)
    with pipeline.Batches(data, int(sys.argv[1]), workers=1) as batches:
        for _ in range(int(sys.argv[1]), int(sys.argv[2])):
            next(batches)
            print(*batches.records)
"""


def test_ten_thousand_records_keep_their_order_in_a_fresh_process(tmp_path):
    # grain#1179: the state of a shuffle was incomplete, so that a fresh process had another order.
    rows = (fake_source.entry(),)
    data = _dataset(rows, groups=10, queries=1)
    expected = [key for step in range(1000) for key in data[step]["records"]]
    assert len(expected) == 10_000 and len(set(expected)) == 200
    script = tmp_path / "main.py"
    script.write_text(RESUME)
    done = subprocess.run(
        [sys.executable, str(script), "600", "1000"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == expected[6000:]


def test_waiting_is_counted():
    with pipeline.Batches(_dataset()) as batches:
        next(batches)
        first = batches.waited
        time.sleep(0.3)  # time enough to read ahead
        next(batches)
        assert first > 0 and 0 <= batches.waited < 0.05


def test_bad_records_are_counted_by_reason_and_named(caplog):
    rows = (fake_source.entry(bad=range(0, 200, 10)),)
    with pipeline.Batches(_dataset(rows), bad_limit=0.5) as batches:
        for _ in range(20):
            next(batches)
        expected = sum(len(_dataset(rows)[k]["bad"]) for k in range(20))
        assert batches.bad == {"broken": expected} and expected > 2
    assert "record fake/" in caplog.text and "broken: no use" in caplog.text


def test_too_many_bad_records_stop_the_run():
    rows = (fake_source.entry(bad=range(0, 200, 4)),)
    with (
        pipeline.Batches(_dataset(rows), bad_limit=0.1) as batches,
        pytest.raises(
            ValueError, match=r"limit of 10.0% \(config.data.max_bad_share\): \{'br.*mend"
        ),
    ):
        for _ in range(100):
            next(batches)


def test_records_before_a_restart_count_too():
    rows = (fake_source.entry(bad=[n for n in range(200) if n % 10 == 0]),)
    with pipeline.Batches(_dataset(rows), bad_limit=0.5, before=(1000, 0)) as batches:
        next(batches)
        assert batches.read >= 1004 and "before a restart" not in batches.bad
    with (
        pipeline.Batches(_dataset(rows), bad_limit=0.1, before=(1000, 102)) as batches,
        pytest.raises(ValueError, match=r"10\d of 10\d\d records .*: \{'before a restart': 102"),
    ):
        next(batches)
    with pipeline.Batches(
        _dataset(rows), bad_limit=0.1, alone=False, before=(1000, 900)
    ) as batches:
        next(batches)  # another one judges


def test_impossible_options_are_errors():
    for rows in ([0, 4], [1, 1], []):
        with pytest.raises(ValueError, match=r"rows \[.*\] of a batch of groups=4: .* 0 to 3"):
            _dataset(rows=rows)
    with pytest.raises(ValueError, match=r"queries=0"):
        _dataset(queries=0)


SCRIPT = """
import multiprocessing, os, signal, sys, time
import fake_source
from vision_banana.data import pipeline

if __name__ == "__main__":
    # Tests that run in the background ignore Ctrl-C, and what they start would do so too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rows = [fake_source.entry()]
    data = pipeline.dataset(rows, groups=1, queries=1, height=4, width=4, text_length=16, seed=0,
                            tasks=fake_source.TASKS)
    batches = pipeline.Batches(data, workers=1)
    kept = next(batches)
    try:
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        if sys.argv[1] == "interrupt":
            time.sleep(60)
    except KeyboardInterrupt:
        batches.close()
        os._exit(130)
    if sys.argv[1] == "die":
        os._exit(3)
    if sys.argv[1] == "close":
        batches.close()
    if sys.argv[1] == "sleep":
        time.sleep(60)
"""


def _environment():
    here = pathlib.Path(__file__).parent
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}


def _start(tmp_path, way):
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), way],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _alive(pid):
    try:
        return (
            "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        )
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("way", ["die", "sleep"])
def test_workers_end_when_their_parent_dies(tmp_path, way):
    process = _start(tmp_path, way)
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert workers
    if way == "sleep":
        process.send_signal(signal.SIGKILL)
    # The worker holds the pipes: that they close is what whoever waits on them needs.
    process.communicate(timeout=20)
    deadline = time.time() + 10
    while any(map(_alive, workers)) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(map(_alive, workers))


@pytest.mark.parametrize("way", ["close", "forget"])
def test_a_run_ends_quietly(tmp_path, way):
    process = _start(tmp_path, way)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and errors == ""


def test_ctrl_c_reaches_the_parent_alone(tmp_path):
    process = _start(tmp_path, "interrupt")
    workers = [int(pid) for pid in process.stdout.readline().split()]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the job
    _, errors = process.communicate(timeout=50)
    assert process.returncode == 130 and errors == ""
    assert workers and not any(map(_alive, workers))
