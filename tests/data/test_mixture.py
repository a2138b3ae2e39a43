import collections
import pickle

import fake_source
import numpy as np
import pytest

from vision_banana.data import mixture
from vision_banana.text import tokenizer


def _mixture(*entries, queries=4, seed=0, text_length=16):
    entries = entries or (fake_source.entry(),)
    return mixture.Mixture(entries, queries, 4, 4, text_length, seed, fake_source.TASKS)


def _equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_group_shares_its_picture_and_generation_sees_none():
    groups = [_mixture().group(step, 0) for step in range(20)]
    counts = collections.Counter()
    for group in groups:
        assert group["target"].shape == (4, 4, 4, 3) and group["target"].dtype == np.float32
        assert group["weight"].shape == (4, 4, 4) and group["weight"].dtype == np.float32
        assert group["tokens"].shape == (4, 16) and group["tokens"].dtype == np.int32
        assert group["references"].shape == (1, 4, 4, 3)
        names = [tuple(fake_source.TASKS)[i] for i in group["task"]]
        for name, mask, target in zip(names, group["reference_mask"], group["target"], strict=True):
            assert mask.tolist() == [name == "depth"]
            if name == "image_generation":
                np.testing.assert_array_equal(target, group["references"][0])
        counts.update(names)
    assert counts == {"depth": 60, "image_generation": 20}  # 3 to 1, exactly in each group


def test_without_references_each_query_is_a_record_of_its_own():
    group = _mixture(fake_source.entry(references=0)).group(0, 0)
    assert group["references"].shape == (0, 4, 4, 3)
    assert group["reference_mask"].shape == (4, 0)
    numbers = [round(float(t[0, 0, 0]) * 255) for t in group["target"]]
    assert len(set(numbers)) == 4
    for number, tokens in zip(numbers, group["tokens"], strict=True):
        assert tokenizer.decode(tokens).startswith(f"number {number}")


def test_two_references_and_room_that_stays_empty():
    row = fake_source.entry(2, {"image_editing": 1, "depth": 1}, pictures=2)
    group = _mixture(row, queries=2).group(0, 0)
    assert group["references"].shape == (2, 4, 4, 3)
    np.testing.assert_allclose(group["references"][0], 1 - group["references"][1], atol=1e-6)
    masks = dict(zip(group["task"].tolist(), group["reference_mask"].tolist(), strict=True))
    assert masks == {0: [True, False], 2: [True, True]}


def test_a_second_reference_of_another_size_is_shown_at_the_first_ones():
    row = fake_source.entry(2, {"image_editing": 1}, pictures=2, second=(6, 9))
    group = _mixture(row, queries=2).group(0, 0)
    assert group["bad"] == () and group["references"].shape == (2, 4, 4, 3)
    np.testing.assert_allclose(group["references"][0], 1 - group["references"][1], atol=1e-6)


def test_a_group_is_a_pure_function_of_seed_step_and_number():
    first, second = _mixture(), _mixture()
    expected = {(k, g): first.group(k, g) for k in range(3) for g in range(2)}
    for k, g in reversed(list(expected)):
        _equal(second.group(k, g), expected[k, g])
    _equal(pickle.loads(pickle.dumps(first)).group(1, 1), expected[1, 1])
    tokens = {first.group(k, g)["tokens"].tobytes() for k, g in expected}
    tokens |= {_mixture(seed=1).group(k, g)["tokens"].tobytes() for k, g in expected}
    assert len(tokens) == 12


def test_references_and_entries_are_drawn_by_weight():
    drawn = _mixture(
        fake_source.entry(0, weight=1.0),
        fake_source.entry(1, {"depth": 1}, weight=2.5),
        fake_source.entry(1, {"image_editing": 1}, weight=0.5),
    )
    buckets = collections.Counter(drawn.references(step) for step in range(2000))
    assert set(buckets) == {0, 1} and abs(buckets[1] / 2000 - 0.75) < 0.04
    seen = [step for step in range(800) if drawn.references(step) == 1]
    tasks = collections.Counter(int(drawn.group(step, 0)["task"][0]) for step in seen)
    assert set(tasks) == {0, 2} and abs(tasks[0] / len(seen) - 5 / 6) < 0.05


def test_a_flip_is_one_for_the_whole_group():
    row = fake_source.entry(1, {"depth": 1, "image_editing": 1}, flip=True)
    drawn = _mixture(row, queries=2)
    seen = collections.Counter()
    for step in range(60):
        group = drawn.group(step, 0)
        depth = group["target"][list(group["task"]).index(0)]
        edit = group["tokens"][list(group["task"]).index(2)]
        mirrored = bool(depth[0, 0, 0] > depth[0, -1, 0])
        assert tokenizer.decode(edit).startswith("right" if mirrored else "left")
        seen[mirrored] += 1
    assert min(seen.values()) > 15


def test_a_bad_record_is_replaced_whoever_asks():
    bad = tuple(range(0, 200, 2))
    drawn = _mixture(fake_source.entry(bad=bad))
    groups = [drawn.group(step, 0) for step in range(40)]
    replaced = [key for group in groups for key, _ in group["bad"]]
    assert 20 < len(replaced) < 80  # half of all that were tried
    assert all(int(key.removeprefix("fake/")) in bad for key in replaced)
    for group in groups:
        assert round(float(group["references"][0, 0, 0, 0]) * 255) % 2 == 1
    _equal(_mixture(fake_source.entry(bad=bad)).group(39, 0), groups[39])
    clean = _mixture().group(0, 0)
    kept = next(k for k in range(40) if not groups[k]["bad"])
    assert clean["bad"] == ()
    _equal(groups[kept], _mixture().group(kept, 0))  # others do not notice


def test_a_source_without_usable_records_is_an_error():
    with pytest.raises(ValueError, match=r"20 records in a row.*fake/.*broken: no use"):
        _mixture(fake_source.entry(bad=range(200))).group(0, 0)


def test_a_prompt_beyond_the_limit_is_a_bad_record():
    with pytest.raises(ValueError, match=r"20 records in a row.*prompt too long"):
        _mixture(text_length=2).group(0, 0)


def test_a_prompt_beyond_the_limit_is_drawn_again():
    long = iter([True, False] * 200)

    def prompt(example, rng):
        return "a red cube, a blue cube" if next(long) else "a cube"

    tasks = {name: task._replace(prompt=prompt) for name, task in fake_source.TASKS.items()}
    rows = (fake_source.entry(),)
    group = mixture.Mixture(rows, 4, 4, 4, 2, 0, tasks).group(0, 0)
    assert not group["bad"]
    assert (group["tokens"] == tokenizer.encode("a cube", 2)).all()


@pytest.mark.parametrize("part", ["prompt", "draw"])
def test_words_that_cannot_be_asked_are_a_bad_record(part):
    def refuses(example, *_):
        raise ValueError(f"{example.words} cannot be said")

    tasks = {name: task._replace(**{part: refuses}) for name, task in fake_source.TASKS.items()}
    drawn = mixture.Mixture([fake_source.entry()], 2, 4, 4, 16, seed=0, tasks=tasks)
    with pytest.raises(ValueError, match=r"20 records in a row.*cannot be asked or drawn: .* said"):
        drawn.group(0, 0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"colour": 1}, "has fields.*colour"),
        ({"tasks": {"deth": 1}}, r"\['deth'\].*depth"),
        ({"tasks": {}}, "at least one"),
        ({"weight": 0}, "must be above 0"),
        ({"tasks": {"depth": float("nan")}}, "must be above 0"),
        ({"references": 3}, "references=3.*0 to 2"),
        ({"source": {"name": "scans"}}, "'scans'.*image_folder"),
        ({"source": {"name": "fake_source:Fake", "sise": 3}}, "cannot be built.*sise"),
        ({"source": {"name": "fake_source:Fake", "count": 0}}, "has no records"),
    ],
)
def test_impossible_rows_are_errors(change, message):
    with pytest.raises(ValueError, match=message):
        _mixture({**fake_source.entry(), **change})


def test_a_task_that_the_source_cannot_answer(monkeypatch):
    monkeypatch.setattr(fake_source.Fake, "tasks", ("depth",))
    with pytest.raises(ValueError, match=r"cannot answer \['image_generation'\]"):
        _mixture()


def test_more_pictures_than_places_are_an_error():
    with pytest.raises(ValueError, match=r"has 2 reference pictures.*references=1"):
        _mixture(fake_source.entry(1, {"image_editing": 1}, pictures=2)).group(0, 0)


def test_queries_with_different_pictures_are_an_error(monkeypatch):
    original = fake_source.Fake.example

    def other(self, index, task):
        example = original(self, index, task)
        shift = (example.references[0] + 0.1,) if task == "image_editing" else example.references
        return example.__class__(**{**vars(example), "references": shift})

    monkeypatch.setattr(fake_source.Fake, "example", other)
    with pytest.raises(ValueError, match=r"different reference pictures"):
        _mixture(fake_source.entry(1, {"image_editing": 1, "depth": 1})).group(0, 0)


def test_vision_share_by_hand():
    rows = [
        {"weight": 3.0, "tasks": {"depth": 1.0, "image_generation": 1.0}},
        {"weight": 1.0, "tasks": {"image_generation": 2.0}},
    ]
    # Three quarters of the groups see a share a / (a + 1) of their queries: 0.6 needs a = 4.
    mixed, alone = mixture.with_vision_share(rows, 0.6)
    assert mixed["tasks"] == pytest.approx({"depth": 4.0, "image_generation": 1.0})
    assert alone == rows[1]
    assert mixture.with_vision_share(rows, -1.0) == tuple(rows)
    with pytest.raises(ValueError, match=r"vision_share is 0\.8, but this mixture reaches 0\.750"):
        mixture.with_vision_share(rows, 0.8)
