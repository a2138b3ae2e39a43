"""Whose folder it is: nobody reads half a config, and several processes compare after one wrote."""

import json

import jax
import pytest
from etils import epath

from vision_banana.training import distributed, provenance
from vision_banana.training.checkpoint import Checkpoints

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


def test_a_work_folder_that_hosts_do_not_share_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(provenance, "_SEEN_S", 0.0)
    with pytest.raises(ValueError, match=rf"process 1 does not see {tmp_path}/config.json.*share"):
        provenance.claim(str(tmp_path), CONFIG)


def test_a_config_that_another_host_sees_late_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(
        provenance.time, "sleep", lambda _: (tmp_path / "config.json").write_text('{"seed": 2}')
    )
    with pytest.raises(ValueError, match="another config"):
        provenance.claim(str(tmp_path), CONFIG)


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


def with_source(**source):
    return CONFIG | {"data": {"max_bad_share": 0.01, "mixture": {"a": {"source": source}}}}


@pytest.mark.parametrize("place", ["path", "root", "data_dir", "evaluated"])
def test_data_may_be_moved_and_the_run_says_so(tmp_path, place):
    before, now = (with_source(name="x", **{place: at}) for at in ("/old", "/new"))
    provenance.claim(str(tmp_path), before)
    provenance.claim(str(tmp_path), now)
    told = provenance.changes(provenance.describe(before, {}), now)
    assert told == f"config.data.mixture.a.source.{place}: /old then, /new now"
    with pytest.raises(ValueError, match=r"source\.split: None there, 'val' here"):
        provenance.check(str(tmp_path), with_source(name="x", split="val", **{place: "/new"}))


def test_the_share_of_bad_records_may_be_raised(tmp_path):
    before = with_source(name="x")
    provenance.claim(str(tmp_path), before)
    now = before | {"data": before["data"] | {"max_bad_share": 0.1}}
    provenance.check(str(tmp_path), now)
    assert provenance.changes(provenance.describe(before, {}), now) == ""  # nor do other bits come


def test_where_a_run_began_is_free_once_it_has_a_checkpoint(tmp_path):
    provenance.claim(str(tmp_path), CONFIG | {"init_from": "/old"})
    moved = CONFIG | {"init_from": "/new"}
    with pytest.raises(ValueError, match="init_from: '/old' there, '/new' here"):
        provenance.check(str(tmp_path), moved)
    checkpoints = Checkpoints(str(tmp_path))
    w = {"w": jax.numpy.zeros(1)}
    state = {"params": w, "ema": w, "opt_state": w, "step": jax.numpy.int32(3), "guard": w}
    checkpoints.save(state, {})
    checkpoints.close()
    provenance.check(str(tmp_path), moved)


def test_other_flags_of_the_compiler_and_another_revision_are_told(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    monkeypatch.setattr(provenance, "revision", lambda: "abc")
    saved = provenance.describe(CONFIG, {})
    assert provenance.changes(saved, CONFIG) == ""
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(provenance, "revision", lambda: "def")
    assert provenance.changes(saved, CONFIG) == (
        "revision: abc then, def now; xla_flags: --xla_cpu_enable_fast_math=true then, none now"
    )
    del saved["xla_flags"], saved["revision"]  # an older checkpoint
    assert provenance.changes(saved, CONFIG) == ""


def test_a_check_writes_nothing(tmp_path):
    provenance.check(str(tmp_path / "run"), CONFIG)
    assert not (tmp_path / "run").exists()
