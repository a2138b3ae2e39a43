"""A run and its data in a bucket, `gs://`, through the real clients against a local server.

Skipped where the clients of Google Cloud Storage (the extra `gcs`) or the server are not installed.
"""

import os
import socket
import subprocess
import sys

import pytest

pytest.importorskip("gcsfs")
pytest.importorskip("google.cloud.storage")
server = pytest.importorskip("gcp_storage_emulator.server")

# In a process of its own: the clients read their settings once.
SCRIPT = """
import io, pathlib
import jax, nano_run, numpy as np, pytest, tiny_run
from PIL import Image
from etils import epath
import vision_banana as vb
from vision_banana import evaluate, export
from vision_banana.data import shard_format, shards
from vision_banana.evaluation import results
from vision_banana.training import json_lines, record_log, update_guard
from vision_banana.training.checkpoint import Checkpoints

file = io.BytesIO()
Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(file, "PNG")
PICTURE = file.getvalue()

# A run is scored, exported and loaded: everything that is read and written lies in the bucket.
place, params = "gs://bucket/runs/nano", nano_run.random_params()
state = {"params": params, "ema": params, "opt_state": {}, "step": jax.numpy.int32(7)}
mine = vb.Model(nano_run.model()).perceive(PICTURE, "depth")
checkpoints = Checkpoints(place)
checkpoints.save(state | {"guard": update_guard.init()}, nano_run.DESCRIPTION)
checkpoints.close()
score = ["--workdir", place, "--tasks=depth", "--steps=1", "--count=2"]
evaluate.main([*score, "--fit_calibration"])
for _ in range(2):
    evaluate.main([*score, f"--save_predictions={place}/answers"])
(file,) = (epath.Path(place) / "records").iterdir()
assert len(json_lines.read(file)) == 3, "its settings and two records, each scored once"
lines = results.read(f"{place}/results.jsonl")
assert lines and all(line["calibrated"] and line["records"] in file.name for line in lines)
assert (epath.Path(place) / "answers/depth/1/000001.npz").exists()
(epath.Path(place) / "caption_sheet_7.jpg").write_bytes(PICTURE)
export.main(["--workdir", place, "--output", "gs://bucket/weights"])
assert {path.name for path in epath.Path("gs://bucket/weights").iterdir()} == {
    "weights.safetensors", "config.json", "README.md", "caption_sheet.jpg"}
assert "delta1" in (epath.Path("gs://bucket/weights") / "README.md").read_text()
for folder in (place, "gs://bucket/weights"):
    answer = vb.load(folder).perceive(PICTURE, "depth")
    np.testing.assert_allclose(answer.drawn, mine.drawn, atol=0.05)  # of bfloat16 weights
with pytest.raises(FileNotFoundError, match="no checkpoint 'gs://bucket/none'"):
    vb.load("gs://bucket/none")
assert not pathlib.Path("gs:").exists()

patch = pytest.MonkeyPatch()
tiny_run.install(patch)
folder, c = "gs://bucket/runs/a", tiny_run.config(steps=4, checkpoint_every=2, keep=1, log_every=2)
tiny_run.run(folder, c | {"steps": 2})
tiny_run.run(folder, c | {"steps": 2})  # is done
config = epath.Path(folder) / "config.json"
config.write_text(config.read_text().replace('"steps": 2', '"steps": 4'))
tiny_run.run(folder, c)
assert [line["step"] for line in json_lines.read(f"{folder}/metrics.jsonl")] == [2, 4]
assert list(record_log.read(folder)) == [1, 2, 3, 4]
assert Checkpoints(folder, read_only=True).steps() == [4]
events = list((epath.Path(folder) / "tensorboard").iterdir())
assert events and max(len(path.read_bytes()) for path in events) > 500  # a few scalars
with pytest.raises(ValueError, match="another config .seed"):
    tiny_run.run(folder, c | {"seed": 7})

# A damaged checkpoint is set aside in the bucket too.
kept = c | {"keep": 9}
tiny_run.run("gs://bucket/runs/b", kept)
(epath.Path("gs://bucket/runs/b/checkpoints/4/description/metadata")).write_text("{")
tiny_run.run("gs://bucket/runs/b", kept)
assert Checkpoints("gs://bucket/runs/b", read_only=True).steps() == [4, 2]
assert epath.Path("gs://bucket/runs/b/damaged_checkpoints/4-0.txt").exists()

# Data shards: written, gone on with, found in a folder of several, read by a run.
def record(name):
    return lambda: shard_format.Record(name, PICTURE, (f"a picture of {name}",))
one, two = ([record(f"{n}{i}") for i in range(8)] for n in "ab")
place = "gs://bucket/shards"
for _ in range(2):
    summary = shard_format.write(f"{place}/a", one, {}, 3 * len(PICTURE))
assert summary.records == 8 and len(shard_format.shards(f"{place}/a")) > 1
shard_format.write(f"{place}/deep/b", two, {}, 1 << 20)
assert list(map(str, shard_format.folders(place))) == [f"{place}/a", f"{place}/deep/b"]
source = shards.Shards(place)
assert [source.example(i, "image_generation").key for i in (1, 15)] == [
    "shards/shards/a1", "shards/shards/b7"]
drawn = tiny_run.config(steps=1)
drawn["data"]["mixture"]["pictures"] |= {
    "source": {"name": "shards", "path": place}, "tasks": {"image_generation": 1.0}}
tiny_run.run("gs://bucket/runs/c", drawn)
assert record_log.read("gs://bucket/runs/c")[1][0].startswith("shards/shards/")

line = {name: 1 for name in results.IDENTITY}
results.write(f"{folder}/results.jsonl", [line])
results.write(f"{folder}/results.jsonl", [line | {"task": 2}])
assert len(results.read(f"{folder}/results.jsonl")) == 2
print("all is well")
"""


def tell_generations(monkeypatch):
    """The server does not say which version of an object it sends; real buckets do."""
    seen = {}
    find, write = server.Storage.get_file_obj, server.Response.write_file

    def get_file_obj(self, bucket, name):
        found = find(self, bucket, name)
        seen["generation"] = found["generation"]
        return found

    def write_file(self, *args, **kwargs):
        self["x-goog-generation"] = seen["generation"]
        write(self, *args, **kwargs)

    monkeypatch.setattr(server.Storage, "get_file_obj", get_file_obj)
    monkeypatch.setattr(server.Response, "write_file", write_file)


def test_a_run_in_a_bucket(tmp_path, monkeypatch):
    tell_generations(monkeypatch)
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    here = os.path.dirname(__file__)
    root = os.path.dirname(os.path.dirname(here))
    address = f"http://localhost:{port}"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([os.path.dirname(here), root]),
        "STORAGE_EMULATOR_HOST": address,
        "CLOUD_STORAGE_EMULATOR_ENDPOINT": address,  # ArrayRecord's client
        "TENSORSTORE_GCS_HTTP_URL": address,
        "GOOGLE_CLOUD_PROJECT": "none",
        "GCE_METADATA_HOST": "localhost:1",  # no look for a machine of Google's
        "NO_GCE_CHECK": "true",
        "FSSPEC_GCS_TOKEN": "anon",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    running = server.create_server("localhost", port, in_memory=True, default_bucket="bucket")
    running.start()
    try:
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, cwd=tmp_path,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
    finally:
        running.stop()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all is well" in done.stdout
