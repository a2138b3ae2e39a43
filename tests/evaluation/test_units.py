"""Votes, mirrors and blends in an answer's own units, by hand."""

import numpy as np
import pytest

from vision_banana.evaluation import units


def answer(name, value, confidence=1.0):
    value = np.asarray(value)[None]
    shape = value.shape[-2:] if name == "masks" else value.shape[1:3]
    sure = np.broadcast_to(np.asarray(confidence, np.float32), (1, *shape))
    return {name: value, "confidence": sure}


def test_depth_takes_the_median_and_counts_who_agrees():
    metres = ([2.0, 1.0, np.inf], [2.2, 1.2, np.inf], [9.0, 1.4, 5.0])
    votes = [answer("depth", np.array([m], np.float32)) for m in metres]
    joined = units.vote(votes)
    np.testing.assert_allclose(joined["depth"][0, 0], [2.2, 1.2, np.inf], rtol=1e-6)
    # 2.2 / 2 and 2.2 / 2.2 lie within 1.25, 9 / 2.2 does not; all of 1, 1.2, 1.4 agree; two skies.
    np.testing.assert_allclose(joined["confidence"][0, 0], [2 / 3, 1, 2 / 3], rtol=1e-6)


def test_depth_that_half_of_the_votes_take_for_sky_goes_to_the_surer_half():
    sky = [answer("depth", np.array([[np.inf]], np.float32), s) for s in (0.2, 0.3)]
    near = [answer("depth", np.array([[m]], np.float32), s) for m, s in ((4.0, 0.1), (5.0, 0.5))]
    joined = units.vote([sky[0], near[0]])  # 0.2 against 0.1
    assert joined["depth"][0, 0, 0] == np.inf
    assert joined["confidence"][0, 0, 0] == pytest.approx(0.2 / 2)
    for votes in ([*sky, *near], [*near, *sky]):  # 0.5 against 0.6: the lower middle value, 5 m
        joined = units.vote(votes)
        assert joined["depth"][0, 0, 0] == 5.0
        assert joined["confidence"][0, 0, 0] == pytest.approx(0.5 / 4)  # 5 / 4 is not below 1.25
    assert units.vote([*sky, near[0]])["depth"][0, 0, 0] == np.inf  # a majority
    assert units.vote([sky[0], *near])["depth"][0, 0, 0] == 5.0
    assert units.vote(near)["depth"][0, 0, 0] == 4.5  # both finite: their mean


def test_agreement_is_weighted_by_how_sure_the_agreeing_are():
    votes = [answer("labels", [[3]], 0.5), answer("labels", [[3]], 1.0), answer("labels", [[1]], 1)]
    joined = units.vote(votes)
    assert joined["labels"].tolist() == [[[3]]]
    assert joined["confidence"][0, 0, 0] == pytest.approx((0.5 + 1.0) / 3)


def test_a_majority_beats_any_confidence_and_a_tie_goes_to_the_surer():
    unsure = [answer("labels", [[2]], 0.01), answer("labels", [[2]], 0.01)]
    assert units.vote([*unsure, answer("labels", [[7]], 1.0)])["labels"][0, 0, 0] == 2
    tie = [answer("labels", [[2]], 0.4), answer("labels", [[7]], 0.6)]
    assert units.vote(tie)["labels"][0, 0, 0] == 7
    assert units.vote(tie[::-1])["labels"][0, 0, 0] == 7


def test_normals_take_the_mean_direction():
    up, side = [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]
    votes = [answer("normals", np.array([[n]], np.float32)) for n in (up, side)]
    joined = units.vote(votes)
    np.testing.assert_allclose(joined["normals"][0, 0, 0], [0.5**0.5, 0.5**0.5, 0], atol=1e-6)
    assert joined["confidence"][0, 0, 0] == 0  # both are 45 degrees off
    tilted = [0.0, np.cos(np.radians(10)), np.sin(np.radians(10))]
    votes = [answer("normals", np.array([[n]], np.float32)) for n in (up, up, tilted)]
    assert units.vote(votes)["confidence"][0, 0, 0] == 1  # all within 11.25 degrees of the mean


def test_normals_are_voted_alike_and_blended_by_weight():
    up, down, side = [0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]
    votes = [answer("normals", np.array([[n]]), sure) for n, sure in ((up, 0.9), (side, 0.1))]
    joined = units.vote(votes)["normals"][0, 0, 0]
    np.testing.assert_allclose(joined, [0.5**0.5, 0.5**0.5, 0], atol=1e-6)
    blend, weights = units.UNITS["normals"].blend, np.array([3.0, 4.0]).reshape(2, 1, 1)
    blended = blend(np.array([[[up]], [[side]]]), weights)[0, 0]
    np.testing.assert_allclose(blended, [0.8, 0.6, 0], atol=1e-6)
    # These weigh out to nothing: the heaviest stands.
    opposite = blend(np.array([[[up]], [[down]], [[up]]]), np.array([1.0, 2, 1]).reshape(3, 1, 1))
    assert opposite[0, 0].tolist() == down


def test_masks_need_more_than_half():
    masks = [[[[1, 1]], [[0, 0]]], [[[1, 0]], [[0, 0]]], [[[1, 0]], [[0, 1]]]]
    joined = units.vote([answer("masks", np.array(m, bool)) for m in masks])
    assert joined["masks"][0].tolist() == [[[True, False]], [[False, False]]]
    np.testing.assert_allclose(joined["confidence"][0, 0], [1, 1 / 3], rtol=1e-6)


def test_instances_are_matched_whatever_their_numbers():
    """Ids differ between the answers; the third misses one instance and adds a wrong one."""
    votes = [[[1, 1, 0, 2, 2, 0]], [[5, 5, 0, 3, 3, 0]], [[1, 1, 0, 0, 0, 9]]]
    joined = units.vote([answer("ids", np.array(v)) for v in votes])
    assert joined["ids"].tolist() == [[[1, 1, 0, 2, 2, 0]]]
    np.testing.assert_allclose(joined["confidence"][0, 0], [1, 1, 1, 2 / 3, 2 / 3, 2 / 3])
    matched = units.match(np.array(votes))
    assert matched.tolist() == [[[1, 1, 0, 2, 2, 0]], [[1, 1, 0, 2, 2, 0]], [[1, 1, 0, 0, 0, 3]]]


def test_instances_below_half_an_overlap_are_different():
    ids = np.array([[[1, 1, 1, 0, 0]], [[0, 0, 1, 1, 1]]])  # IoU 1 / 5
    assert units.match(ids).max() == 2
    ids = np.array([[[1, 1, 1, 0]], [[0, 1, 1, 1]]])  # IoU 2 / 4
    assert units.match(ids).max() == 1


def test_mirrors():
    n = np.array([[[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]]], np.float32)
    back = units.mirror(answer("normals", n, [[0.25, 1.0]]))
    np.testing.assert_allclose(back["normals"][0], [[[0, 1, 0], [-0.6, 0, 0.8]]])
    assert back["confidence"][0].tolist() == [[1.0, 0.25]]
    masks = np.array([[[1, 0, 0]], [[0, 0, 1]]], bool)
    back = units.mirror(answer("masks", masks))["masks"][0]
    assert back.tolist() == [[[False, False, True]], [[True, False, False]]]
    assert units.mirror(answer("depth", np.array([[1.0, 2.0]])))["depth"].tolist() == [[[2, 1]]]


def test_blends():
    weights = np.array([[[3.0, 1.0, 1.0]], [[1.0, 3.0, 1.0]]])
    metres = np.array([[[2.0, 2.0, np.inf]], [[4.0, np.inf, 5.0]]])
    blended = units.UNITS["depth"].blend(metres, weights)
    assert blended.tolist() == [[2.5, np.inf, 5.0]]  # (3 * 2 + 4) / 4; sky by weight
    labels = np.array([[[1, 1, 1]], [[2, 2, 1]]])
    assert units.UNITS["labels"].blend(labels, weights).tolist() == [[1, 2, 1]]


def columns(*parts):
    """Boxes of one row."""
    return [(slice(0, 1), slice(*part)) for part in parts]


def test_instances_of_tiles_are_joined_where_they_agree():
    """Two tiles of 4 columns share two; their instances there agree in one and not in another."""
    ids = np.array([[[0, 1, 1, 2]], [[4, 0, 6, 6]]])
    joined = units.join(ids, columns((0, 4), (2, 6)))
    assert [x.tolist() for x in joined] == [[[0, 1, 1, 2]], [[1, 0, 4, 4]]]


def test_of_instance_and_background_the_heavier_tile_decides():
    ids = np.array([[[5, 5]], [[0, 0]]])
    weights = np.array([[[2.0, 1.0]], [[1.0, 2.0]]])
    assert units.UNITS["ids"].blend(ids, weights).tolist() == [[5, 0]]


def test_instances_that_meet_in_a_corner_of_the_overlap_stay_apart():
    """In the three shared columns one covers three and the other one."""
    ids = np.array([[[0, 1, 1, 1, 1]], [[0, 0, 5, 5, 5]]])
    joined = units.join(ids, columns((0, 5), (2, 7)))
    assert joined[0].max() != joined[1].max()


def test_a_picture_is_no_unit():
    with pytest.raises(ValueError, match="cannot be combined"):
        units.vote([{"rgb": np.zeros((1, 2, 2, 3)), "confidence": np.ones((1, 2, 2))}])


def test_what_half_of_the_members_hold_belongs_to_an_instance():
    """The third shares 3 of 4 pixels with what one of the first two holds, 1 with what both do."""
    ids = np.array([[[1, 1, 0, 0]], [[1, 1, 1, 1]], [[0, 1, 1, 1]]])
    assert units.match(ids).max() == 1


def test_instances_of_tiles_that_agree_on_half_of_the_overlap_are_one():
    ids = np.array([[[0, 1, 1, 1]], [[0, 5, 5, 0]]])
    joined = units.join(ids, columns((0, 4), (2, 6)))  # one holds both shared columns, one one
    assert joined[0].max() == joined[1].max()
