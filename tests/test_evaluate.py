"""The evaluate command: its arguments, and a small run from weights to table."""

import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vision_banana import evaluate
from vision_banana.evaluation import asked as asked_lib
from vision_banana.evaluation import (
    benchmarks,
    blind,
    evaluate_arguments,
    paper_tables,
    results,
    score,
    totals,
)
from vision_banana.models.generator import Generator
from vision_banana.tasks import TASKS, depth
from vision_banana.training.trained import Trained


def test_defaults():
    arguments = evaluate_arguments.parse(["--workdir", "runs/x"])
    assert vars(arguments) == {
        "workdir": "runs/x",
        "checkpoint": None,
        "benchmark": "scenes",
        "data": "",
        "check": None,
        "count": 0,
        "steps": (1, 4, 20),
        "tasks": (),
        "seed": 0,
        "text_guidance": 4.0,
        "votes": 1,
        "apart": False,
        "classes_at_once": 0,
        "answered_at": 0,
        "present": None,
        "rewrite": None,
        "shard": (0, 1),
        "save_predictions": "",
        "fit_calibration": False,
        "output": None,
        "coordinator_address": None,
        "num_processes": None,
        "process_id": None,
    }


def test_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/x")
    names = ("workdir", "data", "save_predictions", "output")
    arguments = evaluate_arguments.parse([f"--{name}=~/a" for name in names])
    assert {getattr(arguments, name) for name in names} == {"/home/x/a"}


def test_lists():
    arguments = evaluate_arguments.parse(
        ["--workdir=x", "--steps=2,8", "--tasks=depth,image_editing,depth", "--count=64"]
    )
    assert arguments.steps == (2, 8)
    assert arguments.tasks == ("depth", "image_editing")
    assert arguments.count == 64


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--steps=1,x", "write numbers"),
        ("--steps=", "write numbers"),
        ("--steps=0,4", "1 or more"),
        ("--steps=4,4", "differ"),
        ("--tasks=depht", "'depht' is no task: use "),
        ("--count=0", "1 or more"),
        ("--count=-3", "1 or more"),
        ("--benchmark=imagenet", "'imagenet' is unknown"),
        ("--check=scenes", "'scenes' is unknown"),
        ("--check=nyu_depth", "--data is needed"),
        ("--benchmark=nyu_depth", "--data is needed: the folder of nyu_depth's files"),
        ("--step=1", "unrecognized"),
    ],
)
def test_bad_arguments_are_refused(capsys, argument, message):
    with pytest.raises(SystemExit) as stopped:
        evaluate_arguments.parse(["--workdir=x", argument])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_workdir_without_weights_is_a_clear_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["--workdir", str(tmp_path / "none")])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("evaluate: ")
    assert "none" in error


def test_a_task_without_its_judge_is_skipped_with_a_reason(monkeypatch, capsys):
    def missing():
        raise ImportError("no judge here")

    monkeypatch.setitem(TASKS, "depth", TASKS["depth"]._replace(metric=missing))
    row = evaluate.benchmarks.BENCHMARKS["scenes"]
    assert set(asked_lib.scorable(["depth", "surface_normals"], row)) == {"surface_normals"}
    assert "depth is not scored: no judge here" in capsys.readouterr().err


def test_a_task_that_the_benchmark_lacks_is_an_error():
    row = evaluate.benchmarks.BENCHMARKS["scenes_two_references"]
    with pytest.raises(ValueError, match="no task 'depth'"):
        asked_lib.scorable(["depth"], row)


def _use_zero_weights(monkeypatch, value=0.0, text_length=16):
    """A generator of 16 pixels that draws mid-grey whatever it is asked; or other weights."""
    model = Generator(size="tiny", dtype="float32", text_length=text_length)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, value, leaf.dtype), shapes)
    trained = Trained(model, params, {"data": {"size": 16}, "time": {"shift": 1.0}}, 5)
    monkeypatch.setattr(totals, "RESAMPLES", 50)
    monkeypatch.setattr(evaluate.weights_arguments, "load", lambda arguments, language: trained)


def _count_asked(monkeypatch):
    """Returns a list that gets every query that the generator is asked."""
    asked = []
    draw = score.draw

    def counts(asker, rows, key):
        asked.extend(q for queries in rows.values() for q in queries)
        return draw(asker, rows, key)

    monkeypatch.setattr(blind, "RECORDS", 4)
    monkeypatch.setattr(score, "draw", counts)
    return asked


def test_from_weights_to_lines_and_table(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch)
    monkeypatch.setattr(blind, "RECORDS", 4)
    work = tmp_path / "pocket"
    evaluate.main(
        ["--workdir", f"{work}/", "--count=3", "--steps=1", "--tasks=depth,surface_normals"]
    )
    lines = results.read(work / "results.jsonl")
    assert {line["task"] for line in lines} == {"depth", "surface_normals"}
    for line in lines:
        assert (line["run"], line["checkpoint_step"], line["benchmark"]) == ("pocket", 5, "scenes")
        assert (line["steps"], line["count"], line["skipped"], line["seed"]) == (1, 3, 0, 0)
    assert json.loads((work / "results.jsonl").read_text().splitlines()[0])["metric"] == "delta1"
    # Zero weights predict mid-grey, which says nothing about where things are.
    first = next(line for line in lines if line["metric"] == "delta1")
    assert 0 <= first["value"] < 0.5
    assert "| depth " in capsys.readouterr().out


def _eth3d(root, *depths):
    for i, metres in enumerate(depths):
        for part in ("images", "ground_truth_depth"):
            (root / "pipes" / part / "dslr_images").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 6)).save(root / f"pipes/images/dslr_images/DSC_{i}.JPG")
        truth = np.full((6, 9), metres, "<f4")
        truth[0] = np.inf
        truth.tofile(root / f"pipes/ground_truth_depth/dslr_images/DSC_{i}.JPG")


def test_a_released_benchmark_from_folder_to_lines(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch)
    grey = float(depth.decode(np.full((1, 1, 3), 0.5))[0][0, 0])  # what mid-grey is read as
    _eth3d(tmp_path / "data", 2 * grey, grey / 4, 60.0)  # the last lies beyond the cap of 50 m
    arguments = [f"--workdir={tmp_path / 'pocket'}", "--benchmark=eth3d", "--steps=1"]
    arguments.append(f"--data={tmp_path / 'data'}")
    with pytest.raises(SystemExit):
        evaluate.main(arguments)
    assert "eth3d has 454 records" in capsys.readouterr().err
    row = benchmarks.BENCHMARKS["eth3d"]._replace(records=3)
    monkeypatch.setitem(benchmarks.BENCHMARKS, "eth3d", row)
    evaluate.main(arguments)
    error = capsys.readouterr().err
    assert "1 x no pixel counts" in error and "eth3d/pipes/DSC_2" in error
    lines = {line["metric"]: line for line in results.read(tmp_path / "pocket" / "results.jsonl")}
    line = lines["AbsRel"]
    assert line["value"] == pytest.approx((0.5 + 3) / 2, rel=1e-4)
    assert lines["delta1"]["value"] == 0
    assert (line["count"], line["skipped"], line["blind"], line["skill"]) == (2, 1, None, None)
    assert line["rules"] == {
        "crop": None, "min_m": 0, "max_m": 50, "clamp": True, "align": None, "over": "pictures"
    }  # fmt: skip
    assert line["answered_at"] == 16 and line["whole"]
    evaluate.main([*arguments, "--count=2"])
    assert not results.read(tmp_path / "pocket" / "results.jsonl")[-1]["whole"]


def test_an_incomplete_set_is_refused_after_scoring(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch)
    asked = _count_asked(monkeypatch)
    data, work = tmp_path / "data", tmp_path / "x"
    _eth3d(data, 2.0, 3.0)
    lost = data / "pipes/images/dslr_images/DSC_1.JPG"
    lost.write_bytes(b"")
    monkeypatch.setitem(
        benchmarks.BENCHMARKS, "eth3d", benchmarks.BENCHMARKS["eth3d"]._replace(records=2)
    )
    arguments = [f"--workdir={work}", "--benchmark=eth3d", "--steps=1", f"--data={data}"]
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "eth3d/pipes/DSC_1" in said
    assert "eth3d is incomplete: 1 of its 2 records could not be read for depth" in said
    assert not (work / "results.jsonl").exists()
    Image.new("RGB", (9, 6)).save(lost)
    evaluate.main(arguments)
    assert [q.example.key for q in asked] == ["eth3d/pipes/DSC_0", "eth3d/pipes/DSC_1"]
    (line, *_) = results.read(work / "results.jsonl")
    assert (line["count"], line["skipped"], line["whole"]) == (2, 0, True)


def test_questions_that_cannot_be_put_are_counted_and_named(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch, text_length=16)
    asked = _count_asked(monkeypatch)
    (tmp_path / "val").mkdir()
    Image.new("RGB", (9, 6)).save(tmp_path / "val" / "a.jpg")
    shape = {"label": "target", "points": [[1, 1], [7, 1], [7, 5]]}
    row = {"text": ["where is what a cook would cut bread with?"], "is_sentence": True,
           "shapes": [shape]}  # fmt: skip
    (tmp_path / "val" / "a.json").write_text(json.dumps(row))
    monkeypatch.setitem(
        benchmarks.BENCHMARKS, "reasonseg", benchmarks.BENCHMARKS["reasonseg"]._replace(records=1)
    )
    for _ in range(2):  # the second time it is read back
        evaluate.main([f"--workdir={tmp_path / 'x'}", "--benchmark=reasonseg", "--steps=1",
                       f"--data={tmp_path}"])  # fmt: skip
        said = capsys.readouterr().err
    assert "referring_segmentation, answered with nothing: 1 x no prompt drawn for it fits" in said
    assert asked == []
    lines = {line["metric"]: line for line in results.read(tmp_path / "x" / "results.jsonl")}
    line = lines["gIoU"]
    assert (line["value"], line["count"], line["unasked"], line["skipped"]) == (0, 1, 1, 0)
    assert lines["ECE"]["value"] is None  # nobody said how sure


def test_people_judge_what_has_no_truth(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch)
    with pytest.raises(SystemExit):
        evaluate.main([f"--workdir={tmp_path}", "--benchmark=genai_bench", "--data=x"])
    assert "people or a judge" in capsys.readouterr().err


def test_settings_stand_in_the_lines_and_a_second_run_asks_nothing(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch)
    asked = _count_asked(monkeypatch)
    monkeypatch.setattr(score, "CHUNK", 2)
    arguments = [f"--workdir={tmp_path / 'x'}", "--count=4", "--steps=1", "--tasks=depth",
                 "--votes=3", f"--save_predictions={tmp_path / 'kept'}"]  # fmt: skip
    evaluate.main([*arguments, "--shard=1/2"])
    assert len(asked) == 2 * 3
    assert "2 of 4 records are scored" in capsys.readouterr().out
    assert not (tmp_path / "x" / "results.jsonl").exists()
    evaluate.main(arguments)
    assert len(asked) == 4 * 3
    evaluate.main(arguments)
    assert len(asked) == 4 * 3
    lines = results.read(tmp_path / "x" / "results.jsonl")
    line = next(line for line in lines if line["metric"] == "AbsRel")
    assert (line["votes"], line["answered_at"], line["tile"], line["count"]) == (3, 16, None, 4)
    assert line["low"] <= line["value"] <= line["high"]
    assert not line["calibrated"]
    assert len(list((tmp_path / "kept" / "depth" / "1").iterdir())) == 4
    other = next(line for line in lines if line["metric"] == "ECE")
    assert 0 <= other["value"] <= 1 and other["perfect"] is None


def test_records_of_other_weights_language_scenes_or_data_are_scored_anew(monkeypatch, tmp_path):
    _use_zero_weights(monkeypatch)
    asked = _count_asked(monkeypatch)
    arguments = [f"--workdir={tmp_path}", "--count=2", "--steps=1", "--tasks=depth"]
    for times in (1, 1):
        evaluate.main(arguments)
        assert len(asked) == times * 2
    _use_zero_weights(monkeypatch, 0.01)  # the same run, step and options
    evaluate.main(arguments)
    assert len(asked) == 4
    _use_zero_weights(monkeypatch)
    evaluate.main(arguments)
    assert len(asked) == 4  # those of the first weights stand
    monkeypatch.setattr(evaluate.language, "PROMPT_VERSION", 0)
    evaluate.main(arguments)
    assert len(asked) == 6
    monkeypatch.setattr(asked_lib.scenes, "SCENES_VERSION", 0)
    evaluate.main(arguments)
    assert len(asked) == 8
    evaluate.main(arguments)
    assert len(asked) == 8
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    digests = {json.loads(line)["records"] for line in lines}
    assert {path.name for path in (tmp_path / "records").iterdir()} == {
        f"{digest}-0.jsonl" for digest in digests
    }
    assert len(digests) == 4


def test_each_reason_stands_on_a_line(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch)
    _eth3d(tmp_path / "data", 2.0, 60.0)  # beyond the cap
    evaluate.main([f"--workdir={tmp_path}", "--benchmark=eth3d", "--steps=1", "--count=2",
                   f"--data={tmp_path / 'data'}"])  # fmt: skip
    assert "eth3d/pipes/DSC_1\n" in capsys.readouterr().err


def test_records_of_another_folder_are_scored_anew_and_bad_ones_again(monkeypatch, tmp_path):
    _use_zero_weights(monkeypatch)
    asked = _count_asked(monkeypatch)
    _eth3d(tmp_path / "a", 2.0, 3.0, 60.0)
    arguments = [f"--workdir={tmp_path / 'x'}", "--benchmark=eth3d", "--steps=1", "--count=3"]
    evaluate.main([*arguments, f"--data={tmp_path / 'a'}"])
    evaluate.main([*arguments, f"--data={tmp_path / 'a' / '..' / 'a'}"])
    assert len(asked) == 2
    _eth3d(tmp_path / "b", 2.0, 3.0, 60.0)
    evaluate.main([*arguments, f"--data={tmp_path / 'b'}"])
    assert len(asked) == 4
    _eth3d(tmp_path / "a", 2.0, 3.0, 4.0)  # mended
    evaluate.main([*arguments, f"--data={tmp_path / 'a'}"])
    assert len(asked) == 5
    line = results.read(tmp_path / "x" / "results.jsonl")[-1]
    assert (line["count"], line["skipped"]) == (3, 0)


def test_of_shards_at_once_the_last_adds_the_lines(monkeypatch, tmp_path):
    _use_zero_weights(monkeypatch)
    asked = _count_asked(monkeypatch)
    monkeypatch.setattr(score, "CHUNK", 2)
    arguments = [f"--workdir={tmp_path}", "--count=4", "--steps=1", "--tasks=depth"]
    run = score.run
    began = []

    def while_the_other_runs(*rest, **more):
        """The first shard begins, the second does all of its part, the first goes on."""
        began.append(more["shard"])
        if len(began) == 1:
            evaluate.main([*arguments, "--shard=1/2"])
            assert not (tmp_path / "results.jsonl").exists()
        return run(*rest, **more)

    monkeypatch.setattr(score, "run", while_the_other_runs)
    evaluate.main([*arguments, "--shard=0/2"])
    assert began == [(0, 2), (1, 2)] and len(asked) == 4
    lines = results.read(tmp_path / "results.jsonl")
    assert {line["count"] for line in lines} == {4}


def test_predictions_of_scored_records_are_saved_later(monkeypatch, tmp_path):
    _use_zero_weights(monkeypatch)
    asked = _count_asked(monkeypatch)
    arguments = [f"--workdir={tmp_path / 'x'}", "--count=2", "--steps=1", "--tasks=depth"]
    evaluate.main(arguments)
    scores = results.read(tmp_path / "x" / "results.jsonl")
    arguments.append(f"--save_predictions={tmp_path / 'kept'}")
    evaluate.main(arguments)
    assert len(asked) == 4
    files = sorted((tmp_path / "kept" / "depth" / "1").iterdir())
    assert [file.name for file in files] == ["000000.npz", "000001.npz"]
    assert results.read(tmp_path / "x" / "results.jsonl") == scores
    evaluate.main(arguments)
    assert len(asked) == 4
    files[1].unlink()
    evaluate.main(arguments)
    assert len(asked) == 6 and files[1].exists()
    _use_zero_weights(monkeypatch, 0.01)
    evaluate.main(arguments[:-1])  # scored but not saved: the files are of other weights
    evaluate.main(arguments)
    assert len(asked) == 10


def test_a_calibration_is_fitted_on_other_records_and_used(monkeypatch, tmp_path):
    _use_zero_weights(monkeypatch)
    monkeypatch.setattr(blind, "RECORDS", 4)
    seen = []
    queries = score.queries

    def notes(source, *rest, **more):
        made = queries(source, *rest, **more)
        seen.extend(q.example.key for q in made["depth"])
        return made

    monkeypatch.setattr(score, "queries", notes)
    arguments = [f"--workdir={tmp_path}", "--count=3", "--steps=1", "--tasks=depth"]
    evaluate.main([*arguments, "--fit_calibration"])
    assert seen == [f"scenes/heldout/{i}" for i in (3, 4, 5)]
    evaluate.main(arguments)
    assert seen[3:] == [f"scenes/heldout/{i}" for i in (0, 1, 2)]
    lines = {line["metric"]: line for line in results.read(tmp_path / "results.jsonl")}
    assert lines["ECE"]["calibrated"]
    # Mid-grey lies off every code: one confidence for all, so the curve gives the share right.
    assert lines["ECE"]["value"] < 0.35


def test_each_line_says_how_its_task_was_asked(monkeypatch, tmp_path):
    """Curves for the depth of one number of steps; only what is drawn from words is guided."""
    _use_zero_weights(monkeypatch)
    monkeypatch.setattr(blind, "RECORDS", 4)
    arguments = [f"--workdir={tmp_path}", "--count=2"]
    evaluate.main([*arguments, "--steps=1", "--tasks=depth", "--fit_calibration"])
    evaluate.main([*arguments, "--steps=1,2", "--tasks=depth,surface_normals"])
    lines = results.read(tmp_path / "results.jsonl")
    calibrated = {(x["task"], x["steps"]) for x in lines if x["calibrated"]}
    assert calibrated == {("depth", 1)}
    assert {x["text_guidance"] for x in lines} == {1.0}
    assert score.guidance("image_generation", 4.0) == 4.0


def test_a_calibration_needs_as_many_records_again(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch)
    _eth3d(tmp_path / "data", 2.0, 3.0, 4.0)
    arguments = [f"--workdir={tmp_path}", "--benchmark=eth3d", "--steps=1",
                 f"--data={tmp_path / 'data'}", "--count=2", "--fit_calibration"]  # fmt: skip
    with pytest.raises(SystemExit):
        evaluate.main(arguments)
    said = capsys.readouterr().err
    assert "has 3 records and 2 are scored: a calibration needs as many again" in said


def test_a_calibration_is_not_used_on_records_that_it_was_fitted_on(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch)
    monkeypatch.setattr(blind, "RECORDS", 4)
    arguments = [f"--workdir={tmp_path}", "--steps=1", "--tasks=depth"]
    evaluate.main([*arguments, "--count=2", "--fit_calibration"])
    for count, calibrated in ((3, False), (2, True)):
        evaluate.main([*arguments, f"--count={count}"])
        lines = results.read(tmp_path / "results.jsonl")
        assert {x["calibrated"] for x in lines if x["count"] == count} == {calibrated}
        said = capsys.readouterr().err
        assert ("fitted on records 2 to 3, and 0 to 2 are scored" in said) is not calibrated
        assert ("--count 3 --fit_calibration" in said) is not calibrated


def test_another_checkpoint_of_the_same_name_and_step_is_told_apart(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(blind, "RECORDS", 4)
    arguments = ["--count=2", "--steps=1", "--tasks=depth"]
    _use_zero_weights(monkeypatch)
    evaluate.main(["--checkpoint=a/final", *arguments, "--fit_calibration"])
    _use_zero_weights(monkeypatch, 0.01)
    evaluate.main(["--checkpoint=b/final", *arguments])
    _use_zero_weights(monkeypatch)
    evaluate.main(["--checkpoint=a/final", *arguments])
    lines = results.read(tmp_path / "runs" / "final" / "results.jsonl")
    found = {(line["weights"], line["calibrated"]) for line in lines}
    assert len(found) == 2 and [calibrated for _, calibrated in sorted(found)].count(True) == 1
    assert not lines[0]["calibrated"] and lines[-1]["calibrated"]  # b's, then a's
    assert len({line["records"] for line in lines}) == 2


def _cityscapes(monkeypatch, root):
    for part, end in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
        folder = root / part / "val" / "ulm"
        folder.mkdir(parents=True)
        shape = (6, 8) if part == "gtFine" else (6, 8, 3)
        Image.fromarray(np.full(shape, 7, np.uint8)).save(folder / f"ulm_000000_000019_{end}.png")
    row = benchmarks.BENCHMARKS["cityscapes"]._replace(records=1)
    monkeypatch.setitem(benchmarks.BENCHMARKS, "cityscapes", row)
    return f"--data={root}"


def test_a_long_legend_is_asked_in_as_few_parts_as_fit(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch, text_length=64)
    asked = _count_asked(monkeypatch)
    arguments = [f"--workdir={tmp_path / 'x'}", "--benchmark=cityscapes", "--steps=1",
                 _cityscapes(monkeypatch, tmp_path / "data")]  # fmt: skip
    evaluate.main(arguments)
    assert "64 tokens: 10 classes are asked at once" in capsys.readouterr().out
    assert len(asked) == 2
    evaluate.main([*arguments, "--classes_at_once=5"])
    assert len(asked) == 2 + 4
    lines = results.read(tmp_path / "x" / "results.jsonl")
    assert [x["classes_at_once"] for x in lines if x["metric"] == "mIoU"] == [10, 5]
    assert all(x["count"] == 1 and x["value"] is not None for x in lines)
    ways = set(paper_tables.SETTINGS) - {"against", "judge"}  # of what people judge
    assert ways <= set(lines[0])


def test_a_task_of_which_nothing_is_scored_is_an_error(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch, text_length=4)
    data = _cityscapes(monkeypatch, tmp_path / "data")
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([f"--workdir={tmp_path / 'x'}", "--benchmark=cityscapes", "--steps=1", data])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "semantic_segmentation: 1 x no prompt drawn for it fits: the prompt has" in said
    assert "evaluate: no record could be scored of semantic_segmentation" in said
    assert not (tmp_path / "x" / "results.jsonl").exists()


def test_what_is_plugged_in_judges_and_rewrites(monkeypatch, tmp_path, capsys):
    _use_zero_weights(monkeypatch, text_length=64)
    asked = _count_asked(monkeypatch)
    (tmp_path / "some_plugs.py").write_text(
        "seen = []\n\n\n"
        "def nothing(picture, phrase):\n    seen.append(phrase)\n\n\n"
        "def louder(phrase):\n    return phrase.upper()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugs = importlib.import_module("some_plugs")
    arguments = [f"--workdir={tmp_path}", "--count=2", "--steps=1",
                 "--tasks=instance_segmentation", "--rewrite=some_plugs:louder"]  # fmt: skip
    evaluate.main([*arguments, "--present=some_plugs:nothing"])
    # The judge hears the set's own phrases, the generator what they are rewritten to.
    assert asked == [] and len(plugs.seen) == 2 and all(map(str.islower, plugs.seen))
    line = results.read(tmp_path / "results.jsonl")[-1]
    assert (line["present"], line["rewrite"]) == ("some_plugs:nothing", "some_plugs:louder")
    evaluate.main(arguments)
    assert len(asked) == 2 and plugs.seen[0].upper() in asked[0].prompt
    with pytest.raises(SystemExit):
        evaluate.main([*arguments, "--present=some_plugs:none"])
    assert "--present 'some_plugs:none' is no function" in capsys.readouterr().err


def test_larger_pictures_are_answered_in_tiles(monkeypatch, tmp_path):
    _use_zero_weights(monkeypatch)
    monkeypatch.setattr(blind, "RECORDS", 4)
    shapes = set()
    draw = score.draw

    def notes(asker, rows, key):
        shapes.update(q.shape for queries in rows.values() for q in queries)
        return draw(asker, rows, key)

    monkeypatch.setattr(score, "draw", notes)
    evaluate.main([f"--workdir={tmp_path}", "--count=2", "--steps=1", "--tasks=depth",
                   "--answered_at=24"])  # fmt: skip
    assert shapes == {(16, 16)}
    (line, *_) = results.read(tmp_path / "results.jsonl")
    assert (line["answered_at"], line["tile"]) == (24, 16)


@pytest.mark.parametrize("text", ["2/2", "x/2", "1"])
def test_a_shard_that_makes_no_sense_is_refused(capsys, text):
    with pytest.raises(SystemExit):
        evaluate_arguments.parse(["--workdir=x", f"--shard={text}"])
    assert "write a shard as 0/4" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "says"), [(15, "give a multiple of"), (999, "at most 64 tiles")])
def test_a_size_that_the_generator_cannot_work_at_is_told_first(monkeypatch, capsys, size, says):
    _use_zero_weights(monkeypatch)
    monkeypatch.setattr(evaluate.asked_lib, "opened", lambda *_: pytest.fail("records were opened"))
    with pytest.raises(SystemExit):
        evaluate.main(["--workdir=x", f"--answered_at={size}"])
    assert says in capsys.readouterr().err
