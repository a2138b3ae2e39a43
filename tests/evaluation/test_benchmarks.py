import json

import numpy as np
import pytest
from PIL import Image

from vision_banana.data.source import BadRecord
from vision_banana.evaluation import benchmarks
from vision_banana.tasks.task import Example

ROWS = benchmarks.BENCHMARKS


class Fixed:
    """A source of one depth map."""

    name, tasks = "fixed", ("depth",)

    def __init__(self, label, valid=None):
        self.label = np.asarray(label, np.float32)
        self.valid = np.ones(self.label.shape, bool) if valid is None else valid

    def __len__(self):
        return 1

    def example(self, index, task):
        return Example(task, "fixed/0", (), self.label, self.valid, {})


@pytest.mark.parametrize(
    ("name", "crop", "max_m", "records"),
    [
        ("nyu_depth", "eigen_nyu", 10, 654),
        ("ibims", None, 25, 100),
        ("eth3d", None, 50, 454),
        ("diode_depth", None, 25, 325),
        ("kitti_depth", "garg", 80, 652),
        ("nuscenes_depth", None, 80, 3612),
    ],
)
def test_depth_rules_are_unik3ds(name, crop, max_m, records):
    row = ROWS[name]
    own = {
        "ibims": {"masks": []},  # UniK3D applies neither of its own
        "kitti_depth": {"cut": [352, 1216]},
        "nuscenes_depth": {"every": 10},
    }.get(name, {})
    assert dict(row.rules) == {
        "crop": crop, "min_m": 0, "max_m": max_m, "clamp": True, "align": None,
        "over": "pictures", **own,
    }  # fmt: skip
    for argument in ("masks", "every"):
        assert row.source.get(argument) == own.get(argument)
    benchmarks.scored_task(row, "depth").metric()  # takes the rules that are its own
    assert (row.records, row.tasks, row.training) == (records, ("depth",), None)


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("cityscapes", 500), ("refcocog", 4896), ("reasonseg", 200), ("reasonseg_seg_zero", 200),
        ("nyu_normals", 654),
        ("scannet_normals", 300), ("vkitti_normals", 1000), ("diode_normals", 325),
        ("genai_bench", 1600), ("imgedit", 737), ("saco_gold_wiki_common", 65502),
    ],
)  # fmt: skip
def test_numbers_of_records(name, records):
    assert ROWS[name].records == records and ROWS[name].name == name


def test_every_scored_released_set_states_its_rules():
    for row in ROWS.values():
        if row.training is None and not row.judged:
            assert row.rules, row.name
            for task in row.tasks:
                benchmarks.scored_task(row, task).metric()  # takes the rules that are its own
    assert ROWS["cityscapes"].rules["over"] == ROWS["diode_normals"].rules["over"] == "pixels"
    assert ROWS["saco_gold_crowded"].rules["annotators"] == "best of three"


def test_regions_that_lisa_ignores_are_seg_zeros_target(tmp_path):
    (tmp_path / "val").mkdir()
    Image.new("RGB", (8, 4)).save(tmp_path / "val" / "a.jpg")
    shapes = [
        {"label": label, "points": [[x, 0], [x + 1, 0], [x + 1, 3], [x, 3]]}
        for label, x in (("target", 0), ("ignore", 4))
    ]
    truth = {"text": ["which?"], "is_sentence": True, "shapes": shapes}
    (tmp_path / "val" / "a.json").write_text(json.dumps(truth))
    columns = {}
    for name in ("reasonseg", "reasonseg_seg_zero"):
        source = benchmarks.open_source(ROWS[name].source, 0, str(tmp_path))
        example = source.example(0, "referring_segmentation")
        columns[name] = (example.label[0].any(0).tolist(), example.valid.all(0).tolist())
    assert columns["reasonseg"] == ([True] * 2 + [False] * 6, [True] * 4 + [False] * 2 + [True] * 2)
    assert columns["reasonseg_seg_zero"] == (([True] * 2 + [False] * 2) * 2, [True] * 8)


@pytest.mark.parametrize(
    ("name", "two", "three"),
    [("reasonseg", 0.749997, 0.833331), ("reasonseg_seg_zero", 0.625, 0.416667)],
)
def test_giou_by_hand(name, two, three):
    """Pictures of 4 pixels; the third asks for nothing, and nothing is drawn.

    IoU 1/2; 3/3 without the ignored pixel, or 3/4 where it is target; and 1, or 0 of Seg-Zero.
    """
    task = benchmarks.scored_task(ROWS[name], "referring_segmentation")
    metric = task.metric()
    state, values = metric.init(), []
    ignored_as_target = ROWS[name].source.get("ignored_as_target", False)
    for drawn, label in (
        ([1, 1, 0, 0], [1, 0, 0, 0]),
        ([1, 1, 1, 0], [1, 1, 1, 255]),
        ([0] * 4,) * 2,
    ):
        label = np.array([[label]])
        known = np.ones((1, 4), bool) if ignored_as_target else label[0] != 255
        words = {"expressions": ("x",)}
        example = Example(task.name, "", (), (label > 0) & known, known, words)
        answer = {"masks": np.array([[[drawn]]], bool), "names": [("x",)]}
        state = metric.update(state, answer, [example])
        values.append(metric.compute(state)["gIoU"])
    assert values[1:] == pytest.approx([two, three], abs=1e-6)


def test_truth_counts_between_the_caps_strictly_and_inside_the_crop():
    label = np.full((480, 640), 5.0)
    label[45, 41:45] = 10, 9.99, 0, np.inf
    valid = np.ones(label.shape, bool)
    valid[46, 41] = False
    scored = benchmarks.Scored(Fixed(label, valid), ROWS["nyu_depth"].rules)
    seen = scored.example(0, "depth").valid
    rows, columns = np.nonzero(seen)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 470, 41, 600)
    assert seen[45, 41:45].tolist() == [False, True, False, False] and not seen[46, 41]
    assert seen.sum() == 426 * 560 - 4
    assert valid.sum() == valid.size - 1  # what the reader gave stays as it was


def test_a_record_that_no_pixel_counts_of_is_bad():
    scored = benchmarks.Scored(Fixed(np.full((3, 4), 26.0)), ROWS["ibims"].rules)
    with pytest.raises(BadRecord, match=r"fixed/0.*no pixel counts: .*'max_m': 25"):
        scored.example(0, "depth")


def test_the_scored_metric_clamps_and_averages_by_picture():
    """Two pictures by hand: 1.25 fails, one answer is clamped to the cap, pixels are not pooled."""
    task = benchmarks.scored_task(ROWS["nyu_depth"], "depth")
    metric = task.metric()
    answer = {"depth": np.array([[[1.2, 2, 5, 14]], [[2.6, 1, 1, 1]]])}
    labels = np.array([[[1, 2, 4, 9]], [[2, 0, 0, 0]]], np.float32)
    examples = [Example("depth", "", (), label, label > 0, {}) for label in labels]
    values = metric.compute(metric.update(metric.init(), answer, examples))
    # delta1 3/4 and 0; AbsRel (0.2 + 0 + 0.25 + 1/9) / 4 and 0.3.
    assert values["delta1"] == pytest.approx(0.375)
    assert values["AbsRel"] == pytest.approx((0.5611111 / 4 + 0.3) / 2, abs=1e-6)


def test_released_data_needs_a_folder():
    with pytest.raises(ValueError, match=r"name their folder"):
        benchmarks.open_source(ROWS["eth3d"].source, 64)
    with pytest.raises(ValueError, match=r"is not a folder"):
        benchmarks.open_source(ROWS["eth3d"].source, 64, "/no/such/folder")
