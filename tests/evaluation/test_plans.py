"""Questions asked several times, apart, in tiles or not at all, by stand-in generators."""

import collections

import jax
import numpy as np
import pytest
import summed

from vision_banana.data import scenes
from vision_banana.evaluation import plans, score, tiles
from vision_banana.evaluation.plans import How
from vision_banana.tasks import (
    TASKS,
    colors,
    depth,
    instance_segmentation,
    semantic_segmentation,
    surface_normals,
)
from vision_banana.tasks.task import Example
from vision_banana.text import tokenizer

LENGTH = 96


class OnePicture:
    """Record 0: a picture whose left half is `left`, with a label for one task."""

    def __init__(self, task, label, words, left=0.25, shape=(8, 8)):
        self.name, self.tasks = "one", (task,)
        picture = np.full((*shape, 3), 1.0, np.float32)
        picture[:, : shape[1] // 2] = left
        self._example = Example(
            task, "one/0", (picture,), np.asarray(label), np.ones(shape, bool), words
        )

    def __len__(self):
        return 1

    def example(self, index, task):
        return self._example


def asked_for(source, answer, how, size=0, steps=1, length=LENGTH):
    """Scores the record; `answer(prompt, picture) -> rgb`. Returns score, groups and answers."""
    groups, kept = [], []

    def asks(some, key):
        groups.extend(some)
        return [
            np.stack([answer(prompt, group.references[0]) for prompt in group.prompts])
            for group in some
        ]

    task = source.tasks[0]
    scored = summed.run(
        source, None, {task: TASKS[task]}, {steps: score.Asker(asks, asks)}, count=1,
        text_length=length, seed=0, size=size, how=how, keep=lambda *a: kept.append(a[2]),
    )[task]  # fmt: skip
    return scored, groups, kept


def run(source, answer, how, size=0, steps=1):
    """As `asked_for`: values, groups and the answer."""
    scored, groups, (kept,) = asked_for(source, answer, how, size, steps)
    return scored.values[steps], groups, kept


def left_is_dark(picture):
    return (picture[..., 0] < 0.5).astype(int)


def test_legend_votes_share_one_look_and_outvote_a_mistake():
    """A generator that mixes up two colours: whenever red is asked for, it paints the other one."""
    label = np.zeros((8, 8), np.int32)
    label[:, 4:] = 1
    words = {"classes": ("cat", "dog"), "class_ids": (1, 2), "num_classes": 3}
    source = OnePicture("semantic_segmentation", label, words)

    def answer(prompt, picture):
        legend = colors.parse_prompt(prompt)
        rows = np.array([legend["cat"], legend["dog"]]) / 255
        confused = prompt == first[0]
        return rows[np.where(confused, 0, 1 - left_is_dark(picture))].astype(np.float32)

    first = [""]
    _, groups, _ = run(source, answer, How())
    first[0] = groups[0].prompts[0]
    once, groups, _ = run(source, answer, How())
    assert once["mIoU"] == pytest.approx(0.25)  # all cat: 1/2 and 0
    voted, groups, joined = run(source, answer, How(votes=5, flips=False))
    assert voted["mIoU"] == 1
    (group,) = groups  # one picture, five prompts
    assert len(set(group.prompts)) == 5
    assert group.prompts[0] == first[0]
    legends = [
        tuple(colors.parse_prompt(p)[name] for name in ("cat", "dog")) for p in group.prompts
    ]
    assert len(set(legends)) == 5
    # In the right half four of five agree, in the left all do.
    np.testing.assert_allclose(joined["confidence"][0, 0, [0, -1]], [1, 0.8], atol=1e-3)


def test_every_second_vote_sees_the_mirrored_picture():
    normals = np.zeros((8, 8, 3), np.float32)
    normals[:, :4, 0] = -1  # the left half faces left
    normals[:, 4:, 2] = 1
    source = OnePicture("surface_normals", normals, {})

    def answer(prompt, picture):
        dark = left_is_dark(picture)
        side = -1.0 if dark[0, 0] else 1.0  # in the mirror it faces right
        drawn = np.where(dark[..., None], [side, 0, 0], [0, 0, 1.0])
        return surface_normals.encode(drawn)

    scores, groups, _ = run(source, answer, How(votes=4))
    assert scores["mean"] == pytest.approx(0, abs=0.1)
    assert [len(g.prompts) for g in groups] == [2, 2]
    np.testing.assert_array_equal(groups[1].references[0], groups[0].references[0][:, ::-1])


def test_left_and_right_change_places_in_mirrored_prompts():
    mask = np.zeros((1, 8, 8), bool)
    mask[:, :, :4] = True
    source = OnePicture("referring_segmentation", mask, {"expressions": ("the left half",)})

    def answer(prompt, picture):
        legend = colors.parse_prompt(prompt)
        (name,) = (n for n in legend if n != "background")
        half = np.zeros((8, 8), bool)
        half[:, 4:] = True
        half = half if "right" in name else ~half
        rows = np.array([legend[name], legend.get("background", (0, 0, 0))]) / 255
        return rows[np.where(half, 0, 1)].astype(np.float32)

    scores, groups, _ = run(source, answer, How(votes=2))
    assert scores["cIoU"] == pytest.approx(1)
    assert "left" in groups[0].prompts[0] and "right" in groups[1].prompts[0]


@pytest.mark.parametrize("name", [n for n, t in TASKS.items() if t.again is not None])
def test_other_words_ask_the_same(name):
    """What is asked for again is read as the same classes, regions, phrase or map of depth."""
    source = scenes.Scenes("train", 32)
    task = TASKS[name]
    for index in range(3):
        rng = np.random.default_rng(index)
        example = source.example(index, name)
        prompt = task.prompt(example, rng)
        said = task.again(prompt, rng)
        rgb, _ = task.draw(example, said, rng)  # raises where a class has no colour
        first, again = (task.read(rgb[None], [p]) for p in (prompt, said))
        assert first.get("names") == again.get("names")
        if name == "instance_segmentation":
            assert example.words["phrase"] in said
            assert said.count("ackground") <= 1
        state = task.metric().update(task.metric().init(), again, [example])
        best = task.metric().compute(state)
        for metric, perfect in task.perfect.items():
            assert best[metric] == pytest.approx(perfect, abs=0.5 if metric == "mean" else 0.02)


def test_depth_is_asked_again_in_colour_maps_as_often_as_in_training():
    task, rng = TASKS["depth"], np.random.default_rng(0)
    assert task.again is not None
    asked = [task.again("depth map in plasma colors", rng) for _ in range(1000)]
    share = collections.Counter(depth.read_colormap(prompt) for prompt in asked)
    assert set(share) == set(depth.COLORMAPS)
    assert share["cube"] / 1000 == pytest.approx(depth.CUBE_SHARE, abs=0.04)


def test_regions_are_asked_apart():
    masks = np.zeros((2, 8, 8), bool)
    masks[0, :, :4] = True
    masks[1, :, 4:] = True
    source = OnePicture("referring_segmentation", masks, {"expressions": ("the cat", "the dog")})

    def answer(prompt, picture):
        legend = colors.parse_prompt(prompt)
        (name,) = (n for n in legend if n != "background")  # a prompt names one region
        side = masks[0] if name == "cat" else masks[1]
        rows = np.array([legend[name], legend["background"]]) / 255
        return rows[np.where(side, 0, 1)].astype(np.float32)

    scores, groups, _ = run(source, answer, How(apart=True))
    assert scores["cIoU"] == pytest.approx(1)
    assert [len(g.prompts) for g in groups] == [2]


def test_a_single_region_is_asked_in_its_own_words():
    mask = np.ones((1, 8, 8), bool)
    source = OnePicture("referring_segmentation", mask, {"expressions": ("the cat",)})
    task = TASKS["referring_segmentation"]
    (query,) = score.queries(source, {task.name: task}, [0], 0, LENGTH)[task.name]
    asked = plans.plan(task, query, How(apart=True), LENGTH, np.random.default_rng(0))
    assert [q.prompt for q in asked.queries] == [query.prompt]


def test_each_region_asked_apart_fits():
    task, length = TASKS["referring_segmentation"], 14
    masks = np.zeros((2, 8, 8), bool)
    source = OnePicture(task.name, masks, {"expressions": ("the cat", "the dog")})
    (query,) = score.queries(source, {task.name: task}, [0], 0, LENGTH)[task.name]
    for rng in map(np.random.default_rng, range(20)):
        asked = plans.plan(task, query, How(apart=True), length, rng)
        assert max(tokenizer.count(q.prompt) for q in asked.queries) <= length


def test_a_record_of_which_a_region_cannot_be_asked_apart_is_bad(monkeypatch):
    long = "the cat is red, " * LENGTH
    monkeypatch.setattr(plans.referring_segmentation, "apart", lambda prompt, rng: 2 * [long])
    monkeypatch.setattr(plans.referring_segmentation, "again", lambda prompt, rng: long)
    masks = np.zeros((2, 8, 8), bool)
    source = OnePicture("referring_segmentation", masks, {"expressions": ("the cat", "the dog")})
    scored, groups, _ = asked_for(source, None, How(apart=True))
    assert groups == [] and "no prompt drawn for it fits" in scored.bad[0][1]


def columns(names):
    """Three classes and a column that shows none, and a generator that paints what it is asked.

    Asked for the last class alone, it paints the second one's column too, less exactly.
    """
    label = np.repeat([[0, 0, 1, 1, 2, 2, 255, 255]], 8, 0).astype(np.int32)
    words = {"classes": names, "class_ids": (1, 2, 3), "num_classes": 4}

    def answer(prompt, picture):
        legend = colors.parse_prompt(prompt)
        rest = legend.get("background", (0, 0, 0))
        rows = np.array([*(legend.get(name, rest) for name in names), rest]) / 255
        drawn = rows[np.minimum(label, 3)]
        if names[2] in legend and names[1] not in legend:
            drawn[:, 2:4] = 0.8 * np.array(legend[names[2]]) / 255 + 0.1
        return drawn.astype(np.float32)

    return OnePicture("semantic_segmentation", label, words), answer


def test_parts_of_a_legend_are_joined_by_how_sure_they_are():
    """The surest class stands; none of all is as sure as the least sure part."""
    answers = [
        {
            "labels": np.array([[labels]]),
            "confidence": np.array([[sure]], np.float32),
            "names": [names],
        }
        for labels, sure, names in (
            ([0, 0, 255, 255], [0.9, 0.4, 0.9, 0.3], ("sky",)),
            ([0, 1, 1, 255], [0.5, 0.6, 0.2, 0.9], ("road", "tree")),
        )
    ]
    prompt = "Segmentation map. sky: red; road: blue; tree: green; background: black"
    joined = semantic_segmentation.joined(prompt, answers)
    assert joined["labels"].tolist() == [[[0, 2, 2, 255]]]
    assert joined["confidence"][0, 0].tolist() == pytest.approx([0.9, 0.6, 0.2, 0.3])


def test_classes_are_asked_in_parts():
    source, answer = columns(("cat", "dog", "car"))
    scores, (group,), joined = run(source, answer, How(classes_at_once=1))
    legends = [colors.parse_prompt(prompt) for prompt in group.prompts]
    (asked,) = joined["names"]
    assert [set(legend) for legend in legends] == [{name, "background"} for name in asked]
    assert scores["mIoU"] == 1
    assert set(joined["labels"][0, :, 6:].ravel()) == {semantic_segmentation.NONE}
    _, (group,), _ = run(source, answer, How(classes_at_once=3))
    assert len(group.prompts) == 1


def test_a_legend_that_is_too_long_is_asked_in_parts():
    source, answer = columns(("traffic light", "fire hydrant", "stop sign"))
    whole, _, _ = asked_for(source, answer, How(), length=14)
    assert "fewer classes_at_once" in whole.bad[0][1]
    parts, (group,), _ = asked_for(source, answer, How(classes_at_once=1), length=14)
    assert len(group.prompts) == 3 and not parts.bad
    assert parts.values[1]["mIoU"] == 1
    # Where one part holds all classes they are asked whole, which does not fit.
    one, groups, _ = asked_for(source, answer, How(classes_at_once=3), length=14)
    assert groups == [] and "fewer classes_at_once" in one.bad[0][1]
    none, _, _ = asked_for(source, answer, How(classes_at_once=1), length=4)
    assert "fewer classes_at_once" in none.bad[0][1]


def test_as_many_classes_are_asked_at_once_as_fit():
    names = [f"thing {word}" for word in ("a", "b", "c", "d", "e", "f", "g")]
    prompt = semantic_segmentation.ask_part(names, np.random.default_rng(0))
    assert plans.classes_that_fit(prompt, 256) == 0
    most = plans.classes_that_fit(prompt, 32)
    assert most == 4  # of seven: four and three, as even as they get
    for rng in map(np.random.default_rng, range(20)):
        for part in semantic_segmentation.in_parts(prompt, most):
            tokenizer.first_fitting(lambda p=part, r=rng: semantic_segmentation.ask_part(p, r), 32)
    assert plans.classes_that_fit(prompt, 4) == 1


def test_a_large_picture_is_answered_in_tiles():
    """The generator reads depth off the picture, and only 8 x 8 pixels at once."""
    ramp = np.linspace(1, 2, 14)[None] + np.linspace(0, 0.7, 14)[:, None]
    source = OnePicture("depth", ramp.astype(np.float32), {"colormap": "cube"}, shape=(14, 14))
    picture = np.repeat(ramp[..., None] / 4, 3, -1).astype(np.float32)
    object.__setattr__(source._example, "references", (picture,))

    def answer(prompt, seen):
        assert seen.shape == (8, 8, 3)
        return depth.encode(seen[..., 0] * 4)

    scores, groups, joined = run(source, answer, How(tile=8), size=14)
    assert len(groups) == 4 and scores["AbsRel"] < 1e-4
    np.testing.assert_allclose(joined["depth"][0], ramp, rtol=1e-3)


def test_tiles_cover_overlap_and_weigh():
    boxes = tiles.places((8, 20), 8)
    assert [(y.start, x.start) for y, x in boxes] == [(0, 0), (0, 6), (0, 12)]
    # Two tiles of 10 would share 2 of 18 columns, less than a quarter of a side.
    assert [x.start for _, x in tiles.places((10, 18), 10)] == [0, 4, 8]
    assert tiles.weight(4)[1].tolist() == pytest.approx([0.1875, 0.5625, 0.5625, 0.1875])
    with pytest.raises(ValueError, match="at most 64 tiles"):
        tiles.places((100, 100), 8)
    with pytest.raises(ValueError, match="cannot be cut"):
        tiles.places((6, 20), 8)


def test_tiles_are_blended_by_weight():
    """Of 4 columns each, they share two; weights there are 3 to 1, then 1 to 3."""
    boxes = tiles.places((4, 6), 4)
    answers = [
        {
            "depth": np.full((1, 4, 4), metres, np.float32),
            "confidence": np.full((1, 4, 4), sure, np.float32),
        }
        for metres, sure in ((2.0, 0.8), (6.0, 0.4))
    ]
    blended = tiles.blend(answers, boxes, (4, 6))
    for row in range(4):
        assert blended["depth"][0, row].tolist() == [2, 2, 3, 5, 6, 6]
        sure = blended["confidence"][0, row].tolist()
        assert sure == pytest.approx([0.8, 0.8, 0.7, 0.5, 0.4, 0.4])


def test_instances_and_regions_of_tiles_are_blended_where_they_lie():
    """Two tiles of 4 columns share two; instances agree there in one of them."""
    boxes = tiles.places((4, 6), 4)
    sure = {"confidence": np.ones((1, 4, 4), np.float32)}
    ids = [np.array([[row] * 4]) for row in ([0, 1, 1, 2], [4, 0, 6, 6])]
    blended = tiles.blend([{"ids": x, **sure} for x in ids], boxes, (4, 6))["ids"]
    assert blended[0].tolist() == [[0, 1, 1, 0, 2, 2]] * 4
    masks = [np.repeat([[[[left]], [[not left]]]], 4, 2).repeat(4, 3) for left in (True, False)]
    blended = tiles.blend([{"masks": x, **sure} for x in masks], boxes, (4, 6))["masks"]
    assert blended[0, :, 0].tolist() == [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]


def test_regions_asked_apart_are_as_sure_as_their_mean():
    masks = np.zeros((2, 8, 8), bool)
    source = OnePicture("referring_segmentation", masks, {"expressions": ("the cat", "the dog")})
    task = TASKS["referring_segmentation"]
    (query,) = score.queries(source, {task.name: task}, [0], 0, LENGTH)[task.name]
    asked = plans.plan(task, query, How(apart=True), LENGTH, np.random.default_rng(0))
    answers = [
        {"masks": np.full((1, 1, 8, 8), drawn), "confidence": np.full((1, 8, 8), sure)}
        for drawn, sure in ((True, 0.25), (False, 0.75))
    ]
    joined = asked.join(answers)
    assert joined["masks"][0].all((1, 2)).tolist() == [True, False]
    assert (joined["confidence"] == 0.5).all()


def test_queries_are_put_in_other_words():
    mask = np.ones((1, 8, 8), bool)
    source = OnePicture("referring_segmentation", mask, {"expressions": ("what barks",)})

    def answer(prompt, picture):
        legend = colors.parse_prompt(prompt)
        return np.broadcast_to(np.array(legend["dog"]) / 255, (8, 8, 3)).astype(np.float32)

    scores, groups, _ = run(source, answer, How(rewrite={"what barks": "the dog"}.get))
    assert "dog" in groups[0].prompts[0] and "barks" not in groups[0].prompts[0]
    assert scores["cIoU"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("task", "label", "words"),
    [
        ("referring_segmentation", np.ones((2, 8, 8), bool), {"expressions": ("one", "two")}),
        ("instance_segmentation", np.ones((8, 8), np.int32), {"phrase": "cat"}),
    ],
)
@pytest.mark.parametrize("to", ["The thing!", "", "the background"])
def test_words_that_cannot_be_asked_for_make_a_record_bad(task, label, words, to):
    """Only one phrase can be "the thing"."""
    source, bad = OnePicture(task, label, words), {task: []}
    how = How(rewrite=lambda text: to)
    asked = score.queries(source, {task: TASKS[task]}, [0], 0, LENGTH, bad=bad, how=how)
    if task == "instance_segmentation" and to == "The thing!":
        assert len(asked[task]) == 1
    else:
        ((index, error),) = bad[task]
        assert (index, error.key) == (0, "one/0") and repr(to) in error.reason


def test_pictures_are_asked_for_once():
    source = scenes.Scenes("heldout", 16)
    asked = score.queries(source, {"image_editing": TASKS["image_editing"]}, [0], 0, LENGTH)
    (query,) = asked["image_editing"]
    plan = plans.plan(TASKS["image_editing"], query, How(votes=9), LENGTH, np.random.default_rng(0))
    assert plan.queries == [query]


def test_a_wording_that_does_not_fit_falls_back():
    source = scenes.Scenes("heldout", 16)
    task = TASKS["depth"]._replace(again=lambda prompt, rng: "cube " * 200)
    (query,) = score.queries(source, {"depth": TASKS["depth"]}, [0], 0, LENGTH)["depth"]
    plan = plans.plan(task, query, How(votes=3, flips=False), LENGTH, np.random.default_rng(0))
    assert [q.prompt for q in plan.queries] == [query.prompt] * 3
    assert jax.tree.leaves(plan.queries[0].example.references)[0].shape == (16, 16, 3)


def test_phrases_of_a_picture_in_tiles_are_merged_at_its_own_size():
    ids = np.ones((8, 16), np.int32)
    ids[:, 8:] = 2
    words = {"phrase": "cat and every dog"}
    source = OnePicture("instance_segmentation", ids, words, shape=(8, 16))

    def answer(prompt, picture):
        ground = np.float32(instance_segmentation.read_background(prompt)) / 255
        sought = left_is_dark(picture) == ("cat" in prompt)
        return np.where(sought[..., None], np.float32([0.5, 0.2, 0.7]), ground)

    scores, groups, joined = run(source, answer, How(tile=8))
    assert scores["F1"] == 1
    assert joined["names"] == [("cat", "dog")]
    assert {len(group.prompts) for group in groups} == {2}  # both phrases in one look at a tile
