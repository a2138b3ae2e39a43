"""Pairs, their blind order and their tally, on folders that the test makes."""

import collections

import numpy as np
import pytest

from vision_banana.evaluation import preference_study
from vision_banana.evaluation.preference_study import Pair, Showing


def write(root, name, level=0.0, prompt="a cube", key="set/1", **more):
    path = root / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"rgb": np.full((2, 3, 3), level, np.float32)} | more
    np.savez_compressed(path, key=np.array(key), prompt=np.array(prompt), **arrays)
    return path


@pytest.fixture
def folders(tmp_path):
    """Eight pairs; ours are white, theirs black."""
    for i in range(8):
        name = f"image_generation/20/{i:06d}"
        write(tmp_path / "ours", name, 1.0, f"prompt {i}", f"set/{i}")
        write(tmp_path / "theirs", name, 0.0, f"prompt {i}", f"set/{i}")
    return tmp_path


def read(folders):
    return preference_study.read(str(folders / "ours"), str(folders / "theirs"))


def test_pairs_are_files_of_one_name(folders):
    study = read(folders)
    assert [p.prompt for p in study.pairs] == [f"prompt {i}" for i in range(8)]
    assert study.pairs[3].name == "image_generation/20/000003"
    assert study.bad == ()
    assert (
        preference_study.picture(study.pairs[0].ours).tolist() == np.full((2, 3, 3), 255).tolist()
    )
    assert study.digest == read(folders).digest
    swapped = preference_study.read(str(folders / "theirs"), str(folders / "ours"))
    assert len(swapped.pairs) == 8


def test_what_does_not_fit_is_named_and_left_out(folders):
    write(folders / "ours", "image_generation/20/000008")
    write(folders / "theirs", "image_generation/20/000009")
    write(folders / "theirs", "image_generation/20/000002", prompt="something else", key="set/2")
    (folders / "ours" / "image_generation/20/000001.npz").write_bytes(b"PK half")
    for root in ("ours", "theirs"):
        path = folders / root / "depth/1/000000.npz"
        path.parent.mkdir(parents=True)
        np.savez(path, key="set/0", prompt="depth", depth=np.ones((2, 2)))
    study = read(folders)
    assert len(study.pairs) == 6
    reasons = dict(study.bad)
    assert set(reasons) == {f"image_generation/20/00000{i}.npz" for i in (1, 2, 8, 9)}
    assert "cannot be read" in reasons["image_generation/20/000001.npz"]
    assert "asked differently" in reasons["image_generation/20/000002.npz"]
    assert "theirs has no picture" in reasons["image_generation/20/000008.npz"]
    assert "ours has no picture" in reasons["image_generation/20/000009.npz"]


def test_nothing_to_compare_is_an_error(tmp_path):
    write(tmp_path / "ours", "a")
    with pytest.raises(ValueError, match="theirs is no folder"):
        read(tmp_path)
    write(tmp_path / "theirs", "b")
    with pytest.raises(ValueError, match=r"no two pictures of one prompt\na.npz: "):
        read(tmp_path)
    with pytest.raises(ValueError, match="compared with itself"):
        preference_study.read(str(tmp_path / "ours"), str(tmp_path / "ours"))


def test_pickles_are_not_opened(tmp_path):
    write(tmp_path / "theirs", "a")
    path = write(tmp_path / "ours", "a")
    np.savez(path, key=np.array({"a": 1}, object), prompt="a cube", rgb=np.ones((1, 1, 3)))
    with pytest.raises(ValueError, match="no two pictures") as refused:
        read(tmp_path)
    assert "allow_pickle" in str(refused.value)


def test_an_edit_comes_with_the_picture_that_was_edited(tmp_path):
    before = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    write(tmp_path / "ours", "a", picture=before)
    write(tmp_path / "theirs", "a", picture=before)
    write(tmp_path / "ours", "b")
    write(tmp_path / "theirs", "b")
    edit, drawn = read(tmp_path).pairs
    np.testing.assert_array_equal(preference_study.edited(edit), before)
    assert preference_study.edited(drawn) is None


def test_another_shape_is_no_picture(tmp_path):
    path = write(tmp_path, "a", rgb=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"a.npz has shape \(2, 2\); a picture is \(H, W, 3\)"):
        preference_study.picture(path)


def test_each_rater_has_an_order_and_sides_of_their_own(folders):
    study = read(folders)
    ana, ben = (preference_study.order(study, name) for name in ("ana", "ben"))
    assert ana == preference_study.order(study, "ana") != ben
    for shown in (ana, ben):
        assert sorted(s.pair for s in shown) == sorted(study.pairs)
    left, right = preference_study.sides(ana[0])
    assert left[0, 0, 0] == (255 if ana[0].ours_left else 0) != right[0, 0, 0]
    first, sides = collections.Counter(), collections.Counter()
    for i in range(400):
        shown = preference_study.order(study, f"rater {i}")
        first[shown[0].pair.name] += 1
        sides.update((s.pair.name, s.ours_left) for s in shown)
    assert len(first) == 8 and min(first.values()) > 25  # 50 each; 25 is 3.8 sigmas below
    assert all(150 < count < 250 for count in sides.values())  # 200 each, 5 sigmas


@pytest.mark.parametrize(
    ("ours_left", "choice", "vote"),
    [(True, "left", 1), (True, "right", -1), (False, "left", -1), (False, "right", 1),
     (True, "tie", 0), (False, "tie", 0)],
)  # fmt: skip
def test_a_choice_of_a_side_is_a_vote_for_its_picture(ours_left, choice, vote):
    showing = Showing(Pair("a", "", None, None), ours_left)
    assert preference_study.vote(showing, choice) == vote
    with pytest.raises(ValueError, match="the choice is 'up'; it must be one of left, tie, right"):
        preference_study.vote(showing, "up")


def cast(rater, pair, vote, choice, judge=False):
    return {"rater": rater, "pair": pair, "vote": vote, "choice": choice, "judge": judge}


def test_a_tally_by_hand():
    votes = [
        cast("ana", "1", 1, "left"), cast("ana", "2", -1, "left"), cast("ana", "3", 0, "tie"),
        cast("ben", "1", 1, "right"), cast("ben", "2", 1, "left"),
        cast("m:f", "1", -1, "left", judge=True), cast("m:f", "2", -1, "right", judge=True),
    ]  # fmt: skip
    found = preference_study.tally(votes)
    assert list(found) == ["people", "m:f"]
    people = found["people"]
    assert (people["pairs"], people["votes"], people["raters"]) == (3, 5, 2)
    # Pair 1: 1; pair 2: one each, 0.5; pair 3: a tie, 0.5.
    assert people["win_rate"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert people["ties"] == pytest.approx(1 / 3)
    assert people["left"] == pytest.approx(3 / 4)
    # Two raters on pairs 1 and 2: values (1, 1), (-1, 1); 1 - 3 * 2 / (16 - 9 - 1).
    assert people["alpha"] == pytest.approx(0.0)
    assert found["m:f"]["win_rate"] == 0 and np.isnan(found["m:f"]["alpha"])
    lines = preference_study.markdown(found).splitlines()
    assert lines[2].startswith("| people | 66.7 | ") and lines[2].endswith(
        "| 33.3 | 0.00 | 75.0 | 5 | 3 | 2 |"
    )
    assert lines[3].startswith("| m:f | 0.0 | ") and "|  | 50.0 | 2 | 2 | 1 |" in lines[3]


def test_levels_are_rounded_and_clipped(tmp_path):
    rgb = np.array([[[0.5, -1.0, 2.0], [np.nan, 1.0, 0.1]]], np.float32)
    path = write(tmp_path, "a", rgb=rgb)
    assert preference_study.picture(path).tolist() == [[[128, 0, 255], [0, 255, 26]]]
