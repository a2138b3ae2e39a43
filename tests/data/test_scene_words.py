import re
from dataclasses import replace

import numpy as np
from hand_made_scenes import layout, solid

from vision_banana.data import (
    scene_edits,
    scene_language,
    scene_render,
    scene_settings,
    scene_solids,
    scenes,
)

HELDOUT = scenes.Scenes("heldout")


def find(scene, expression):
    """Ids that an expression fits, with plain comparisons; a reader written anew."""
    expression = expression.removeprefix("the ")
    shown = [s for s in scene.solids if s.area]
    width = {s.id: np.nonzero(scene.ids == s.id)[1].mean() for s in shown}
    deep = {s.id: np.median(scene.depth_m[scene.ids == s.id]) for s in shown}
    relation = re.match(r"(\w+) (left of|right of|in front of|behind|on top of) (.+)", expression)
    if relation:
        (anchor,) = find(scene, relation[3])
        holds = {
            "left of": lambda s: width[s.id] < width[anchor],
            "right of": lambda s: width[s.id] > width[anchor],
            "in front of": lambda s: deep[s.id] < deep[anchor],
            "behind": lambda s: deep[s.id] > deep[anchor],
            "on top of": lambda s: s.support == anchor,
        }[relation[2]]
        return [s.id for s in shown if s.kind == relation[1] and holds(s)]
    words = expression.split()
    kind = next(w for w in words if w == "object" or w in scene_solids.KINDS)
    group = [s for s in shown if kind in ("object", s.kind)]
    colors = [w for w in words if w in scene_settings.COLORS]
    if colors:
        return [s.id for s in group if s.color == colors[0]]
    keys = {
        "leftmost": lambda s: width[s.id],
        "rightmost": lambda s: -width[s.id],
        "largest": lambda s: -(scene.ids == s.id).sum(),
        "smallest": lambda s: (scene.ids == s.id).sum(),
        "nearest": lambda s: deep[s.id],
        "farthest": lambda s: -deep[s.id],
    }
    for word, key in keys.items():
        if word in words:
            return [min(group, key=key).id]
    return [s.id for s in group]


def test_expressions_fit_one_instance_alone():
    used, numbers = set(), []
    for i in range(300):
        example, scene = HELDOUT.example(i, "referring_segmentation"), HELDOUT.scene(i)
        expressions = example.words["expressions"]
        assert example.label.shape == (len(expressions), 64, 64)
        assert example.label.sum(0).max() == 1
        numbers.append(len(expressions))
        for mask, expression in zip(example.label, expressions, strict=True):
            (found,) = find(scene, expression)
            np.testing.assert_array_equal(mask, scene.ids == found, err_msg=expression)
            used.update(expression.split())
    assert {"leftmost", "rightmost", "largest", "smallest", "nearest", "farthest"} <= used
    assert {"left", "right", "front", "behind", "object"} <= used
    assert 0.5 < np.mean(np.array(numbers) == 1) < 0.7 and max(numbers) == 3


def test_captions_are_true():
    relations_seen = set()
    for i in range(300):
        words, scene = HELDOUT.example(i, "image_generation").words, HELDOUT.scene(i)
        caption, objects = words["caption"], words["objects"]
        assert 1 <= len(objects) <= 4
        groups = []
        for thing in objects:
            alike = [
                s for s in scene.solids
                if s.area and (s.kind, s.color) == (thing["class"], thing["color"])
            ]  # fmt: skip
            assert len(alike) == thing["count"]
            assert min(s.area for s in alike) >= 24
            noun = f"{thing['color']} {thing['class']}"
            one = rf"\b{'an' if noun[0] in 'aeiou' else 'a'} {noun}\b"
            many = rf"\b{scene_language.COUNTS[thing['count']]} {noun}s\b"
            assert re.search(one if thing["count"] == 1 else many, caption)
            groups.append(alike)
        areas = [sum(s.area for s in group) for group in groups]
        assert max(s.area for s in scene.solids) <= max(areas)
        for a, relation, b in words["relations"]:
            relations_seen.add(relation)
            (one,), (two,) = groups[a], groups[b]
            if relation in ("left of", "right of"):
                gap = (two.center[1] - one.center[1]) * (1 if relation == "left of" else -1)
                assert gap > 6.4
            elif relation == "above":
                assert one.center[0] < two.center[0] and one.support == two.id
            else:
                sign = 1 if relation == "in front of" else -1
                assert sign * (two.depth_m - one.depth_m) > 0
                assert sign * (one.box[2] - two.box[2]) > 0
        outside = np.any(scene.classes == scene_render.CLASS_IDS["ground"])
        assert outside == ("room" not in caption)
    assert relations_seen == set(scene_language.RELATIONS)


def test_captions_leave_out_what_cannot_be_counted():
    near, far = solid("cube", (-1, 1.5, -4), (1, 1, 1)), solid("cube", (8, 1.5, -20), (1, 1, 1))
    small = solid("egg", (1, 1.5, -4), (0.5, 0.5, 0.5), color="blue")
    for i in range(10):
        rng = np.random.default_rng(i)
        scene = scene_render.render(layout(near, far, small), 64)
        text, objects, relations = scene_language.caption(scene, rng)
        assert text.startswith("a blue egg ") and "cube" not in text
        assert objects == ({"class": "egg", "color": "blue", "count": 1},)
        assert relations == ()
    text, objects, _ = scene_language.caption(scene_render.render(layout(near, far), 64), rng)
    assert text.startswith("two red cubes ") and objects[0]["count"] == 2


def changed(a, b):
    return np.abs(a - b).max(-1) > 1e-6


def test_edits_do_what_they_say():
    done = {"recolor": 0, "remove": 0, "add": 0, "replace_background": 0}
    for i in range(60):
        scene = HELDOUT.scene(i)
        size = scene.ids.shape
        for name in done:
            found = getattr(scene_edits, name)(scene, np.random.default_rng(i))
            if found is None:
                continue
            done[name] += 1
            instruction, target = found
            after = scene_render.render(target, size)
            differs = changed(after.rgb, scene.rgb)
            if name == "recolor":
                (one,) = (
                    n for n, (a, b) in enumerate(
                        zip(target.solids, scene.layout.solids, strict=True)
                    ) if a is not b
                )  # fmt: skip
                (named,) = find(scene, re.search(r"the (?!color).+?(?= to | \w+$)", instruction)[0])
                assert named == one + 1
                assert instruction.endswith(target.solids[one].color)
                np.testing.assert_array_equal(after.ids, scene.ids)
                assert not differs[scene.ids != named].any()
                assert differs[scene.ids == named].mean() > 0.9
            elif name == "remove":
                (gone,) = find(scene, instruction[instruction.index("the ") :])
                assert len(after.solids) == len(scene.solids) - 1
                assert differs[scene.ids == gone].mean() > 0.5
                assert (after.depth_m >= scene.depth_m)[scene.ids == gone].all()
            elif name == "add":
                new = after.solids[-1]
                assert f"{new.color} {new.kind}" in instruction
                assert new.area >= 24
                side = re.search(r"(left|right) of (the .+)", instruction)
                if side:
                    (anchor,) = find(scene, side[2])
                    gap = scene.solids[anchor - 1].center[1] - new.center[1]
                    assert gap * (1 if side[1] == "left" else -1) > 0
                assert (after.depth_m <= scene.depth_m).all()
            else:
                assert target.setting.name in instruction
                np.testing.assert_array_equal(after.ids, scene.ids)
                assert differs.mean() > 0.2
    assert min(done.values()) > 20, done


def test_edit_pairs_differ_and_start_from_the_scene():
    verbs = set()
    for i in range(40):
        example = HELDOUT.example(i, "image_editing")
        verbs.add(example.words["instruction"].split()[0])
        assert changed(example.label, example.references[0]).sum() >= 5
    assert len(verbs) > 5


def test_edits_with_two_pictures():
    pairs = scenes.Scenes("heldout", references=2)
    assert pairs.tasks == ("image_editing",)
    kinds = {"background": 0, "color": 0, "put": 0}
    for i in range(60):
        example = pairs.example(i, "image_editing")
        again = HELDOUT.example(i, "image_editing", references=2)
        np.testing.assert_array_equal(again.label, example.label)
        first, second = example.references
        assert first is HELDOUT.scene(i).rgb
        assert changed(first, second).mean() > 0.3
        assert changed(example.label, first).any()
        instruction = example.words["instruction"]
        assert "second" in instruction and "first" in instruction
        kinds[next(kind for kind in kinds if kind in instruction)] += 1
    assert min(kinds.values()) > 5, kinds


def test_solid_of_the_second_picture_comes_into_the_first():
    done = 0
    for i in range(20):
        scene, other = HELDOUT.scene(i), HELDOUT.scene(i + 500)
        found = scene_edits._insert(scene, other, np.random.default_rng(i))
        if found is None:
            continue
        done += 1
        instruction, second, target = found
        shown, after = scene_render.render(second, 64), scene_render.render(target, 64)
        new = after.solids[-1]
        name = re.search(r"put the (.+) of the second", instruction)[1]
        (twin,) = find(shown, name)
        assert shown.solids[twin - 1].kind == new.kind
        assert shown.solids[twin - 1].color == new.color
    assert done > 5


def test_second_picture_is_the_one_the_edit_speaks_of():
    altered = 0
    for i in range(60):
        scene = HELDOUT.scene(i)
        _, second = HELDOUT.example(i, "image_editing", references=2).references
        rng = np.random.default_rng(scenes.seed("heldout", i, 7))
        other = HELDOUT.scene(int(rng.random() * 4096))
        _, shown, _ = scene_edits.edit_with_second(scene, other, rng)
        np.testing.assert_array_equal(second, scene_render.render(shown, 64).rgb)
        altered += bool(changed(second, other.rgb).any())
    assert altered > 2


def test_what_bears_another_is_not_removed():
    base = solid("cube", (0, 1.0, -4), (0.5, 0.5, 0.5))
    top = replace(solid("egg", (0, 1.95, -4), (0.45, 0.45, 0.45), color="blue"), support=0)
    aside = solid("cone", (2, 1.0, -4), (0.5, 0.5, 0.5), color="green")
    scene = scene_render.render(layout(aside, replace(top, support=2), base), 64)
    texts = set()
    for i in range(40):
        text, target = scene_edits.remove(scene, np.random.default_rng(i))
        texts.update(text.split())
        if "cone" in text:
            assert [s.support for s in target.solids] == [1, -1]
    assert {"egg", "cone"} <= texts and not {"cube", "red"} & texts
