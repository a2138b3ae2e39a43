"""Whose folder it is: nobody reads half a config, and several processes compare after one wrote."""

import json

import jax
import pytest
from etils import epath

from vision_banana.training import distributed, provenance

CONFIG = {"seed": 1, "mesh": {"fsdp": -1}, "guard": {"stop_after": 9}, "meshes": 1}


def test_a_kill_while_writing_leaves_no_config(tmp_path, monkeypatch):
    kind = type(epath.Path(tmp_path))
    real = kind.write_bytes

    def killed(self, data):
        real(self, data[:9])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kind, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            provenance.claim(str(tmp_path / "run"), CONFIG)
    assert not (tmp_path / "run" / "config.json").exists()
    provenance.claim(str(tmp_path / "run"), CONFIG)
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == CONFIG
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_all_processes_compare_after_the_first_has_written(tmp_path, monkeypatch):
    def wait(what):
        (tmp_path / "config.json").write_text(json.dumps(CONFIG))  # as process 0 does

    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(distributed, "wait", wait)
    provenance.claim(str(tmp_path), CONFIG)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"another config \(seed: 1 there, 2 here\)"):
        provenance.claim(str(tmp_path), CONFIG | {"seed": 2})


def test_whole_sections_are_free_and_names_that_only_begin_so_are_not(tmp_path):
    provenance.claim(str(tmp_path), CONFIG)
    provenance.check(str(tmp_path), CONFIG | {"mesh": {"fsdp": 2}, "guard": {"stop_after": 1}})
    with pytest.raises(ValueError, match="meshes: 1 there, 2 here"):
        provenance.check(str(tmp_path), CONFIG | {"meshes": 2})


@pytest.mark.parametrize("content", [b'{\n "seed": ', b"", b"[1]", b"\xff\xfe\x00"])
def test_a_damaged_config_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged: .* Delete it and start again") as caught:
        provenance.check(str(tmp_path), CONFIG)
    assert str(caught.value).startswith(str(path))
    path.unlink()
    provenance.claim(str(tmp_path), CONFIG)
    assert json.loads(path.read_text()) == CONFIG


def test_a_check_writes_nothing(tmp_path):
    provenance.check(str(tmp_path / "run"), CONFIG)
    assert not (tmp_path / "run").exists()
