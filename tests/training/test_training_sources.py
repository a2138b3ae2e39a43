"""Two steps on a source of a user's own; the generator is one small matrix."""

import json

import numpy as np
import picture_files
import pytest
import tiny_run

from configs import image_text
from vision_banana.data import prepare


def _run(monkeypatch, workdir, entry):
    tiny_run.install(monkeypatch)
    config = tiny_run.config(steps=2)
    config["data"]["mixture"] = {"mine": entry}
    tiny_run.run(workdir, config)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [1, 2]
    assert np.isfinite([row["loss"] for row in rows]).all()
    return rows


def test_two_steps_on_shards(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for i in range(4):
        (tmp_path / "in" / f"{i}.png").write_bytes(picture_files.png((60 * i, 0, 0)))
        (tmp_path / "in" / f"{i}.txt").write_text(f"number {i}")
    prepare.prepare([str(tmp_path / "in")], str(tmp_path / "out"), shard_bytes=1)
    config = image_text.get_config("shards").to_dict()
    entry = config["data"]["mixture"]["captions"]
    entry["source"]["path"] = str(tmp_path / "out")
    rows = _run(monkeypatch, tmp_path / "run", entry)
    assert all(row["loss/image_generation"] == pytest.approx(row["loss"]) for row in rows)
