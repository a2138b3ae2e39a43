import json
import subprocess
import sys

import pytest

from vision_banana.pods import description

PROGRAM = {
    "compile_seconds": 40.0,
    "memory_bytes": {"weights": 2.0**30, "headroom": 3 * 2.0**30},
    "flops": {"step": 4e12, "model": 3e12, "why": "because", "model_of_batch": {}},
    "collective_bytes": {"all-gather bf16": 5e9, "all-to-all bf16": 10},
    "roofline_seconds": {"compute": 0.02, "step": 0.02},
    "binds": "compute",
}
REPORT = {
    "topology": "v5e:16x16",
    "model": {"size": "1B", "remat": "full"},
    "parameters": 1_042_000_000,
    "mesh": {"replica": 16, "fsdp": 16, "tensor": 1},
    "batch": 2048,
    "size": 512,
    "train": [{"references": 0, "share": 1.0, "mfu_bound": 0.75, **PROGRAM}],
    "sample": {"references": 0, "steps": 20, **PROGRAM},
    "schedule": {
        "steps": 10,
        "chip_hours": 1234.0,
        "hours": 5.0,
        "assumed_efficiency": 0.7,
        "dollars": 999.0,
        "dollars_per_chip_hour": 1.2,
    },
}


def test_a_report_says_what_was_asked_for():
    text = description.describe(REPORT)
    for part in (
        "1B (1.04 B parameters) on v5e:16x16, mesh replica 16 x fsdp 16 x tensor 1",
        "weights                         1.00 GiB",
        "all-gather bf16                 5.00 GB",
        "compute binds",
        "MFU is at most 75.0%",
        "sampler, 20 steps",
        "10 steps: 1,234 chip-hours",
        "because",
    ):
        assert part in text
    assert "all-to-all" not in text  # ten bytes


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--topology=v5e:16"], 2, "has 1 axes; v5e has 2"),
        (["--topology=v5e:2x2", "--config.mesh.fsdp=3"], 2, "does not fill 4 devices"),
        (
            ["--topology=v5e:2x2", "--config.mesh.fsdp=2"],
            1,
            "does not fit on v5e:2x2: it needs 20 GiB",
        ),
        (["--topology=v5e:2x2", "--config.mesh.fsdp=2"], 0, "saved to"),
    ],
)
def test_exit_codes_and_reasons(tmp_path, flags, code, message):
    if "16" not in flags[0] and code != 1:
        pytest.importorskip("libtpu", reason="TPU's compiler is not installed (extra `tpu`)")
    small = ["--config.model.size=nano", "--config.data.size=16", "--config.data.groups=4"]
    small += ["--config.data.queries=1", "--config.model.text_length=4", "--sampling_steps=0"]
    output = tmp_path / "report.json"
    program = (
        "from absl import app\nfrom vision_banana import compile\n"
        "from vision_banana.pods import plan\n"
        "def full(*args, **more): raise plan.DoesNotFit('it needs 20 GiB')\n"
        f"plan.plan = {'full' if code == 1 else 'plan.plan'}\n"
        "app.run(compile.main)\n"
    )
    arguments = ["--config=configs/large_1b.py", f"--output={output}", *small, *flags]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr[-2000:]
    assert message in done.stdout + done.stderr
    assert output.exists() == (code == 0)
    if code == 0:
        assert json.loads(output.read_text())["chips"] == 4
