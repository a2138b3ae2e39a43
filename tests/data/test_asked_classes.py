import numpy as np
import pytest

from vision_banana.data import asked_classes
from vision_banana.tasks import semantic_segmentation
from vision_banana.tasks.task import Example

NAMES = {i: f"class {i}" for i in range(1, 20)}


def test_all_classes_where_there_are_few():
    ids = np.array([[1, 3, 3], [9, 0, 1]])
    label, words = asked_classes.choose(ids, NAMES, ids > 0, "k", absent=0)
    assert words == {
        "classes": ("class 1", "class 3", "class 9"), "class_ids": (1, 3, 9), "num_classes": 20
    }  # fmt: skip
    assert label.tolist() == [[0, 1, 1], [2, 255, 0]]


def test_some_where_there_are_many_and_the_rest_is_none_of_them():
    ids = np.arange(1, 20)[None]
    seen = set()
    for key in map(str, range(30)):
        label, words = asked_classes.choose(ids, NAMES, ids > 0, key, most=2)
        again, _ = asked_classes.choose(ids, NAMES, ids > 0, key, most=2)
        np.testing.assert_array_equal(label, again)
        assert len(words["classes"]) == 2 and (label != 255).sum() == 2
        for place, i in enumerate(words["class_ids"]):
            assert label[0, i - 1] == place and words["classes"][place] == f"class {i}"
        seen |= set(words["classes"])
    assert len(seen) > 15  # not always the same ones


def test_a_share_of_the_names_is_not_in_the_picture():
    """Of 19 classes 1 to 8 are known, 9 lies where nothing is, and 10 to 19 are absent."""
    ids = np.arange(1, 10)[None]
    valid = ids < 9
    named = absent = 0
    for key in map(str, range(400)):
        label, words = asked_classes.choose(ids, NAMES, valid, key)
        again, same = asked_classes.choose(ids, NAMES, valid, key)
        assert words == same and label.tolist() == again.tolist()
        assert len(set(words["classes"])) == asked_classes.MOST and 9 not in words["class_ids"]
        assert words["classes"] == tuple(sorted(words["classes"]))  # the place tells nothing
        lacking = [place for place, i in enumerate(words["class_ids"]) if i > 9]
        assert not np.isin(label, lacking).any()
        assert (label != 255).sum() == asked_classes.MOST - len(lacking) > 0
        named, absent = named + asked_classes.MOST, absent + len(lacking)
    assert absent / named == pytest.approx(0.1, abs=0.02)


def test_absent_names_take_room_before_they_take_a_place():
    ids = np.array([[1, 3]])
    every = [asked_classes.choose(ids, NAMES, ids > 0, str(i), 3, 0.5)[1] for i in range(40)]
    assert {len(words["classes"]) for words in every} == {2, 3}
    assert all(len({1, 3} & set(words["class_ids"])) >= 1 for words in every)
    one = {asked_classes.choose(ids, NAMES, ids > 0, str(i), 1)[1]["classes"] for i in range(40)}
    assert one == {("class 1",), ("class 3",)}
    _, words = asked_classes.choose(ids, {1: "a", 3: "b"}, ids > 0, "k", absent=1)
    assert words["classes"] == ("a", "b")  # there is no other


def test_class_0_is_not_none_of_them():
    """Two pictures of road (0), sky (1) and something that no question names."""
    names = {0: "road", 1: "sky", 2: "tree"}
    shown = np.array([[0, 0, 1], [2, 2, 2]])
    label, words = asked_classes.choose(shown, names, shown < 2, "k", absent=0)
    assert words == {"classes": ("road", "sky"), "class_ids": (1, 2), "num_classes": 4}
    known = np.ones(shown.shape, bool)
    task = semantic_segmentation
    example = Example(task.TASK.name, "k", (), label, known, words)
    assert label.tolist() == [[0, 0, 1], [255, 255, 255]]
    # Road everywhere: right in 2 of 6, sky and "none" are missed. IoU 2/6, 0 and 0.
    answer = {"labels": np.zeros((1, 2, 3), np.int32), "names": [("road", "sky")]}
    metric = task.metric()
    score = metric.compute(metric.update(metric.init(), answer, [example]))
    assert score["mIoU"] == pytest.approx((2 / 6 + 0 + 0) / 3)
    guess = task.blind([example])([example])
    assert guess["labels"].tolist() == [label.tolist()]


def test_two_ids_of_one_name_are_one_class():
    ids = np.array([[1, 2, 5]])
    label, words = asked_classes.choose(ids, {1: "wall", 2: "door", 5: "wall"}, ids > 0, "k")
    assert words["classes"] == ("door", "wall") and words["class_ids"] == (2, 1)
    assert label.tolist() == [[1, 0, 1]]


def test_an_id_without_a_name_is_an_error():
    with pytest.raises(ValueError, match=r"class id 7 has no name; the ids are 1 \.\. 2"):
        asked_classes.choose(np.array([[7]]), {1: "a", 2: "b"}, np.array([[True]]), "k")
    with pytest.raises(ValueError, match=r"nothing is labelled"):
        asked_classes.choose(np.array([[1]]), {1: "a"}, np.array([[False]]), "k")
