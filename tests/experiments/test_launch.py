"""The launcher against programs that only note how they were called."""

import contextlib
import errno
import fcntl
import io
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import termios

import commands
import pytest

from experiments.launch import __main__ as launch
from experiments.launch import accelerators, remote, tpu_vm
from vision_banana.pods import chips

# Notes its name and arguments; fails with CODE where they contain PATTERN; prints the next state.
PROGRAM = """#!/bin/sh
printf '%s\\0' "${0##*/}" "$@" >> "$RECORD"; printf '\\0' >> "$RECORD"
if [ -n "$PATTERN" ]; then case "$*" in *"$PATTERN"*)
    case "$CODE" in wait) sleep 30;; [A-Z]*) kill -"$CODE" $PPID; sleep 2; exit 1;; esac
    exit "$CODE";; esac; fi
case "$*" in *"value(name)"*) cat "$THERE";; *describe*)
    head -n 1 "$STATES"; sed -i 1d "$STATES";; esac
"""
BUNDLE = str(commands.ROOT / "runs" / "vision_banana.bundle")
GIT = ["git", "-C", str(commands.ROOT), "bundle", "create", "--quiet", BUNDLE, "HEAD"]
PLACE = ["--project=my-project", "--zone=us-west4-a"]
COMMAND = ["python", "-m", "vision_banana.train", "--workdir", "gs://b/it's mine $HOME"]
SLICE = ["--name=run-1", "--project=my-project", "--zone=us-west4-a", "--accelerator=v5litepod-16"]


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Puts the programs on the path; returns what was called since it was last asked."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("gcloud", "git", "xpk", "docker", "kubectl", "mkdir"):
        (place / name).write_text(PROGRAM)
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("STATES", str(tmp_path / "states"))
    monkeypatch.setenv("THERE", str(tmp_path / "there"))
    (tmp_path / "there").write_text("")
    (tmp_path / "logs").mkdir()
    monkeypatch.setenv("PATTERN", "")
    monkeypatch.setenv("CODE", "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tpu_vm, "PAUSE", 0.0)
    (tmp_path / "states").write_text("ACTIVE\n" * 9)

    def calls():
        path = tmp_path / "record"
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return [call.split("\0") for call in text.split("\0\0")[:-1]]

    return calls


def main(target, action, *more, command=COMMAND):
    return launch.main([target, action, *SLICE, *more, "--", *command])


def tpus(kind, verb, *words):
    return ["gcloud", "compute", "tpus", kind, verb, *words, *PLACE]


def slice_calls():
    ssh = ["ssh", "run-1", "--worker=all"]
    return [
        tpus("tpu-vm", "list", "--filter=name~(^|/)run-1$", "--format=value(name)"),
        tpus("tpu-vm", "create", "run-1", "--accelerator-type=v5litepod-16",
             "--version=v2-alpha-tpuv5-lite", "--spot"),
        GIT,
        tpus("tpu-vm", "scp", BUNDLE, "run-1:vision_banana.bundle", "--worker=all"),
        tpus("tpu-vm", *ssh, f"--command={remote.INSTALL}"),
        tpus("tpu-vm", *ssh, f"--command={remote.start(COMMAND)}"),
        tpus("tpu-vm", "ssh", "run-1", "--worker=0", f"--command={remote.FOLLOW}"),
        ["mkdir", "-p", "logs"],
        tpus("tpu-vm", *ssh, "--output-directory=logs", "--command=cat ~/run.log"),
        tpus("tpu-vm", "delete", "run-1", "--quiet"),
    ]  # fmt: skip


def queue_calls():
    everywhere = ["--node=all", "--worker=all"]
    ssh = ["ssh", "run-1", *everywhere]
    kind = "queued-resources"
    return [
        tpus(kind, "list", "--filter=name~(^|/)run-1$", "--format=value(name)"),
        tpus(kind, "create", "run-1", "--accelerator-type=v5litepod-16",
             "--runtime-version=v2-alpha-tpuv5-lite", "--node-count=2", "--node-prefix=run-1",
             "--valid-until-duration=6h"),
        tpus(kind, "describe", "run-1", "--format=value(state.state)"),
        GIT,
        tpus(kind, "scp", BUNDLE, "run-1:vision_banana.bundle", *everywhere),
        tpus(kind, *ssh, f"--command={remote.INSTALL}"),
        tpus(kind, *ssh, f"--command={remote.start(COMMAND)}"),
        tpus(kind, "ssh", "run-1", "--node=0", "--worker=0", f"--command={remote.FOLLOW}"),
        *(call for node in "01" for call in (
            ["mkdir", "-p", f"logs/{node}"],
            tpus(kind, "ssh", "run-1", f"--node={node}", "--worker=all",
                 f"--output-directory=logs/{node}", "--command=cat ~/run.log"),
        )),
        tpus(kind, "delete", "run-1", "--force", "--quiet"),
    ]  # fmt: skip


def gke_calls():
    cluster = ["--cluster=pool", *PLACE]
    size = ["--tpu-type=v5litepod-16", "--num-slices=2"]
    return [
        ["gcloud", "container", "clusters", "list", "--project=my-project", "--filter=name=pool",
         "--format=value(name)"],
        ["xpk", "cluster", "create", *size, "--reservation=mine", *cluster],
        ["docker", "build", "--platform=linux/amd64", "--tag=us-docker.pkg.dev/p/r/train:1",
         f"--file={commands.ROOT / 'experiments' / 'launch' / 'Dockerfile'}", str(commands.ROOT)],
        ["docker", "push", "us-docker.pkg.dev/p/r/train:1"],
        ["xpk", "workload", "create", "--workload=run-1", *size,
         "--docker-image=us-docker.pkg.dev/p/r/train:1", f"--command={shlex.join(COMMAND)}",
         "--max-restarts=10", "--restart-on-exit-codes=1,3-126",
         "--termination-grace-period-seconds=300", *cluster],
        ["xpk", "workload", "list", "--wait-for-job-completion=run-1", "--timeout=31536000",
         *cluster],
        ["gcloud", "container", "clusters", "get-credentials", "pool", "--project=my-project",
         "--region=us-west4"],
        ["mkdir", "-p", "logs"],
        ["kubectl", "logs", "--selector=jobset.sigs.k8s.io/jobset-name=run-1", "--all-containers",
         "--prefix", "--tail=-1", "--max-log-requests=1024"],
        ["xpk", "cluster", "delete", "--force", *cluster],
    ]  # fmt: skip


TARGETS = {
    "slice": (["--spot"], slice_calls),
    "queue": (["--slices=2", "--valid_for=6h"], queue_calls),
    "gke": (
        ["--slices=2", "--cluster=pool", "--image=us-docker.pkg.dev/p/r/train:1",
         "--reservation=mine"], gke_calls,
    ),
}  # fmt: skip


def same_words(calls, expected):
    """Compares calls; options stand in any order."""
    assert [call[:3] for call in calls] == [wanted[:3] for wanted in expected]
    for call, wanted in zip(calls, expected, strict=True):
        assert sorted(call) == sorted(wanted)


@pytest.mark.parametrize("target", TARGETS)
def test_the_commands_of_a_whole_launch(target, record):
    more, expected = TARGETS[target]
    assert main(target, "all", *more) == 0
    same_words(record(), expected())


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_runs_nothing_and_prints_what_a_shell_understands(target, record, capsys):
    more, expected = TARGETS[target]
    assert main(target, "all", *more, "--price=1.5", "--dry_run") == 0
    assert record() == []
    printed = capsys.readouterr().out
    slices = 1 if target == "slice" else 2
    assert f"${16 * slices * 1.5:.2f} for every hour" in printed
    subprocess.run(["bash", "-e", "-c", printed], check=True)
    same_words(record(), expected())


@pytest.mark.parametrize("target", TARGETS)
def test_single_steps_are_parts_of_the_whole(target, record):
    more, expected = TARGETS[target]
    for name in launch.STEPS:
        assert main(target, name, *more) == 0
    same_words(record(), expected()[1:])


def test_a_failed_run_is_fetched_and_deleted_and_its_code_returned(record, monkeypatch, capsys):
    monkeypatch.setenv("PATTERN", "run.exit")
    monkeypatch.setenv("CODE", "3")
    assert main("slice", "all") == 3
    verbs = [call[4] for call in record() if call[0] == "gcloud"]
    assert verbs == ["list", "create", "scp", "ssh", "ssh", "ssh", "delete"]
    assert "run failed" in capsys.readouterr().err


def test_a_failed_creation_is_deleted_and_a_failed_deletion_told(record, monkeypatch, capsys):
    monkeypatch.setenv("PATTERN", "run-1 ")
    monkeypatch.setenv("CODE", "7")
    assert main("slice", "all") == 7
    assert [call[4] for call in record()] == ["list", "create", "delete"]
    told = capsys.readouterr().err
    assert "create failed" in told and "MAY STILL BE THERE AND COST MONEY" in told
    assert f"gcloud compute tpus tpu-vm delete run-1 --quiet {' '.join(PLACE)}" in told


@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_a_launch_that_is_ended_deletes_all_the_same(name, record, monkeypatch):
    monkeypatch.setenv("PATTERN", "nohup")
    monkeypatch.setenv("CODE", name)
    number = getattr(signal, f"SIG{name}")

    def unheeded(*_):
        raise AssertionError(f"the launcher does not heed SIG{name}")

    before = signal.signal(number, unheeded)
    try:
        assert main("slice", "all") == 130
        assert signal.getsignal(number) is unheeded
    finally:
        signal.signal(number, before)
    assert record()[-1] == tpus("tpu-vm", "delete", "run-1", "--quiet")


def test_a_terminal_that_is_closed_leaves_nothing_behind(record, tmp_path, monkeypatch):
    monkeypatch.setenv("PATTERN", "nohup")
    monkeypatch.setenv("CODE", "wait")
    monkeypatch.setenv("PYTHONPATH", str(commands.ROOT))
    window, terminal = pty.openpty()
    command = [sys.executable, "-m", "experiments.launch", "slice", "all", *SLICE, "--", *COMMAND]
    with commands.heard():
        launched = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
    os.close(terminal)
    shown = b""
    while b"nohup" not in shown:  # it has printed the command that waits
        shown += os.read(window, 1 << 16)
    os.close(window)
    assert launched.wait(timeout=60) == 130
    assert record()[-1] == tpus("tpu-vm", "delete", "run-1", "--quiet")
    assert "launch: interrupted while it did run" in (tmp_path / "logs" / "launch.log").read_text()


def test_a_pipe_whose_reader_ends_leaves_nothing_behind(record, tmp_path, monkeypatch):
    monkeypatch.setenv("PATTERN", "nohup")
    monkeypatch.setenv("CODE", "wait")
    monkeypatch.setenv("PYTHONPATH", str(commands.ROOT))
    command = [sys.executable, "-m", "experiments.launch", "slice", "all", *SLICE, "--", *COMMAND]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as launched:
        line = launched.stdout.readline()
        while line and b"nohup" not in line:
            line = launched.stdout.readline()
        launched.stdout.close()  # as `| tee log` that ends too
        launched.send_signal(signal.SIGTERM)
        assert launched.wait(timeout=60) == 130
    assert record()[-1] == tpus("tpu-vm", "delete", "run-1", "--quiet")
    assert "launch: interrupted while it did run" in (tmp_path / "logs" / "launch.log").read_text()


def test_what_is_wrong_on_this_machine_leaves_nothing_behind(record, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tpu_vm.Slices, "install", full)
    assert main("slice", "all") == 1
    assert record()[-1] == tpus("tpu-vm", "delete", "run-1", "--quiet")
    assert "install failed: [Errno 28] No space left" in capsys.readouterr().err
    assert main("slice", "install") == 1
    assert "tpu-vm delete run-1" in capsys.readouterr().err
    monkeypatch.setattr(tpu_vm.Slices, "delete", full)
    assert main("slice", "all") == 1
    assert "IT MAY STILL BE THERE" in capsys.readouterr().err


@pytest.mark.parametrize("opened", [pty.openpty, os.pipe])
@pytest.mark.parametrize("kept", [-1, 0])  # 0 as for `python -u`
def test_words_that_nobody_takes_any_more_go_on_elsewhere(opened, kept, tmp_path):
    window, terminal = opened()
    stream = io.TextIOWrapper(os.fdopen(terminal, "wb", kept), write_through=kept == 0)
    file = (tmp_path / "log").open("w")
    lasting = launch.Lasting(stream, lambda: os.dup2(file.fileno(), terminal))
    print("seen", file=lasting, flush=True)
    assert os.read(window, 100).split() == [b"seen"]
    os.close(window)
    print("kept", file=lasting)
    print("and kept", file=lasting, flush=True)
    assert (tmp_path / "log").read_text() == "kept\nand kept\n"


def test_what_cannot_be_said_stops_nothing(tmp_path):
    with open("/dev/full", "w") as full:
        lasting = launch.Lasting(full, lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        print("lost", file=lasting, flush=True)
        with contextlib.suppress(OSError):
            full.close()


def test_a_launch_under_nohup_outlives_its_terminal(record, monkeypatch):
    monkeypatch.setenv("PATTERN", "nohup")
    monkeypatch.setenv("CODE", "HUP")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main("slice", "all") == 1  # the command's own code
    finally:
        signal.signal(signal.SIGHUP, before)
    assert record()[-1] == tpus("tpu-vm", "delete", "run-1", "--quiet")


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_there_before_is_not_touched(target, record, tmp_path, monkeypatch, capsys):
    (tmp_path / "there").write_text("projects/p/locations/z/nodes/run-1")
    assert main(target, "all", *TARGETS[target][0]) == 2
    assert len(record()) == 1 and "run-1 is there already" in capsys.readouterr().err
    (tmp_path / "there").write_text("")
    monkeypatch.setenv("PATTERN", "value(name)")
    monkeypatch.setenv("CODE", "6")
    assert main(target, "all", *TARGETS[target][0]) == 6
    assert len(record()) == 1 and "nothing was created" in capsys.readouterr().err


def test_what_is_kept_is_named(record, capsys):
    assert main("queue", "all", "--keep") == 0
    assert not any("delete" in call for call in record())
    assert "queued-resources delete run-1 --force --quiet" in capsys.readouterr().out


def test_a_failed_step_names_what_is_left(record, monkeypatch, capsys):
    monkeypatch.setenv("PATTERN", "scp")
    monkeypatch.setenv("CODE", "4")
    assert main("slice", "install") == 4
    assert "tpu-vm delete run-1" in capsys.readouterr().err


def test_the_queue_is_waited_for_and_its_refusal_deleted(record, tmp_path, capsys):
    states = tmp_path / "states"
    states.write_text("WAITING_FOR_RESOURCES\nPROVISIONING\nACTIVE\n")
    assert main("queue", "create") == 0
    assert [call[4] for call in record()] == ["create", "describe", "describe", "describe"]
    states.write_text("WAITING_FOR_RESOURCES\nFAILED\n")
    assert main("queue", "all") == 1
    assert [call[4] for call in record()][-2:] == ["describe", "delete"]
    assert "run-1 is FAILED" in capsys.readouterr().err


def test_a_missing_program_says_so(record, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main("slice", "create") == 127
    assert "no program 'gcloud'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--name=My Run"], "lower-case letters"),
        (["--accelerator=h100-8"], "must be one of v4-N, v5litepod-N"),
        (["--slices=2"], "by the queue"),
        (["--slices=0"], "at least 1"),
    ],
)
def test_arguments_that_make_no_sense(more, told, record, capsys):
    assert main("slice", "all", *more) == 2
    assert told in capsys.readouterr().err and record() == []


def test_a_command_must_be_given(capsys):
    with pytest.raises(SystemExit):
        launch.main(["slice", "all", *SLICE])
    assert "behind --" in capsys.readouterr().err


def test_chips_of_a_slice():
    # v4 and v5p count TensorCores, two a chip; v5e and v6e count chips.
    assert [accelerators.chips(a) for a in ("v4-8", "v5p-8", "v5litepod-16", "v6e-8")] == [
        4, 4, 16, 8,
    ]  # fmt: skip
    for chip in chips.CHIPS.values():  # every chip that can be planned for can be launched
        assert accelerators.chips(f"{chip.accelerator}-{8 * chip.cores}") == 8
        assert accelerators.runtime(f"{chip.accelerator}-8")
    assert chips.peak_flops("TPU v4") == 275e12  # launched, though nothing is compiled for it
    assert "8 chips (2 x v5p-8) at $4.2 a chip-hour: $33.60" in accelerators.cost("v5p-8", 2, 4.2)


@pytest.mark.parametrize(
    ("target", "option"),
    [("slice", "--reservation=mine"), ("queue", "--image=x"), ("gke", "--valid_for=6h")],
)
def test_an_option_that_a_target_would_ignore_is_refused(target, option, record, capsys):
    name = option.removeprefix("--").partition("=")[0]
    if target == "gke":
        assert main(target, "create", "--image=x", option) == 2
    else:
        assert main(target, "create", option) == 2
    assert f"--{name} is for" in capsys.readouterr().err
    assert record() == []


def test_hosts_and_images_get_what_the_large_configs_read():
    dockerfile = (commands.ROOT / "experiments" / "launch" / "Dockerfile").read_text()
    for text in (
        remote.INSTALL,
        dockerfile.replace("$JAX", *re.findall("ARG JAX=(.*)", dockerfile)),
    ):
        (extras,) = re.findall(r"--editable .*\[(.*)\]", text)
        assert extras.split(",") == ["tpu", "gcs", "tfds", "benchmarks"]


def test_an_image_holds_the_last_commit_and_nothing_else(tmp_path):
    folder = commands.ROOT / "experiments" / "launch"
    # Nothing but the repository is sent, and of it nothing but the last commit stays.
    assert (folder / "Dockerfile.dockerignore").read_text().split() == ["*", "!.git"]
    copied = [line for line in (folder / "Dockerfile").read_text().splitlines() if "COPY" in line]
    assert copied == ["COPY .git /checkout/.git", "COPY --from=commit /vision_banana ."]
    (clone,) = re.findall(r"RUN (git clone .*)", (folder / "Dockerfile").read_text())

    def sh(text):
        return subprocess.run(
            ["sh", "-ec", text], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    identity = "git -C checkout -c user.name=a -c user.email=a@b.c"
    sh(
        "git init --quiet checkout; echo old > checkout/code.py; git -C checkout add .;"
        f"{identity} commit --quiet -m 1; echo new > checkout/code.py;"
        f"{identity} commit --quiet -a -m 2; echo draft > checkout/code.py;"
        "echo secret > checkout/.env; git -C checkout remote add origin https://token@host/x"
    )
    sh(clone.replace("/checkout", f"{tmp_path}/checkout").replace("/vision_banana", "./image"))
    image = tmp_path / "image"
    assert sorted(path.name for path in image.iterdir()) == [".git", "code.py"]
    assert (image / "code.py").read_text() == "new\n"
    assert "token" not in (image / ".git" / "config").read_text()
    assert sh("git -C image rev-parse HEAD") == sh("git -C checkout rev-parse HEAD")
    assert sh("git -C image log --format=%s") == "2\n"
