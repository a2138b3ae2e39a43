import json

from vision_banana.evaluation import phases


def _run(folder, init_from="", steps=()):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"init_from": init_from}))
    if steps:
        lines = [json.dumps({"step": step, "loss": 0.5}) + "\n" for step in steps]
        (folder / "metrics.jsonl").write_text("".join(lines))
    return str(folder)


def test_phases_are_followed_back_to_the_first(tmp_path):
    first = _run(tmp_path / "pretrain", "packaged", steps=[10])  # no such folder
    second = _run(tmp_path / "tune", first, steps=[10, 20])
    third = _run(tmp_path / "finish", f"{second}/", steps=[5])
    found = phases.find(third)
    assert [(p.name, p.folder, [r["step"] for r in p.records]) for p in found] == [
        ("pretrain", first, [10]), ("tune", f"{second}/", [10, 20]), ("finish", third, [5]),
    ]  # fmt: skip


def test_nothing_is_found_where_nothing_was_trained(tmp_path):
    assert phases.find(str(tmp_path / "none")) == []
    assert phases.find(_run(tmp_path / "exported")) == []


def test_a_circle_ends(tmp_path):
    name = _run(tmp_path / "a", str(tmp_path / "b"), steps=[1])
    _run(tmp_path / "b", name, steps=[1])
    assert [p.name for p in phases.find(name)] == ["b", "a"]
