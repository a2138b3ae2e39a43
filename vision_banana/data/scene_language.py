"""Words about a rendered scene: names, captions, referring expressions. All of them are true.

Whatever is named is told apart from everything visible, even from what shows a single pixel.
"Largest" and "smallest" go by visible pixels, "nearest" and "in front of" by depth, the rest by
position in the picture. Where a comparison is close, nothing is said.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from vision_banana.data import scene_render, scene_settings, scene_solids
from vision_banana.data.scene_render import Scene, Seen

# "above" is said of what stands on top of another solid, and only of that.
RELATIONS = ("left of", "right of", "in front of", "behind", "above")
_WORDING = {relation: relation for relation in RELATIONS} | {"above": "on top of"}
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def visible(scene: Scene) -> list[Seen]:
    """The solids that show at least one pixel."""
    return [solid for solid in scene.solids if solid.area]


def names(scene: Scene, target: Seen) -> list[str]:
    """Names without article that fit `target` alone: "cube", "red cube", "red object"."""
    others = [solid for solid in visible(scene) if solid.id != target.id]
    unique = []
    if all(other.kind != target.kind for other in others):
        unique.append(target.kind)
    if all((other.kind, other.color) != (target.kind, target.color) for other in others):
        unique.append(f"{target.color} {target.kind}")
    if all(other.color != target.color for other in others):
        unique.append(f"{target.color} object")
    return unique


def relates(scene: Scene, one: Seen, relation: str, two: Seen) -> bool | None:
    """Whether `one` stands in a relation of `RELATIONS` to `two`; None if it is a close call."""
    if relation in ("left of", "right of"):
        gap = (two.center[1] - one.center[1]) / scene.ids.shape[1]
        gap = gap if relation == "left of" else -gap
        return True if gap > 0.1 else (False if gap < 0 else None)
    if relation in ("in front of", "behind"):
        nearer, farther = (one, two) if relation == "in front of" else (two, one)
        if nearer.depth_m < 0.8 * farther.depth_m:
            return True
        return False if nearer.depth_m > farther.depth_m else None
    return one.support == two.id


def _extreme(group: list[Seen], keys: Iterable[float], margin: float, ratio: float) -> Seen | None:
    """The member with the clearly largest key: by `margin` and by `ratio`, else None."""
    order = sorted(zip(keys, (solid.id for solid in group), group, strict=True))
    (second, _, _), (first, _, best) = order[-2], order[-1]
    return best if first - second > margin and first > second * ratio else None


def superlatives(scene: Scene, group: list[Seen], noun: str) -> list[tuple[Seen, str]]:
    """Who among two or more solids is the leftmost, largest, nearest, ..., where that is clear."""
    if len(group) < 2:
        return []
    width = scene.ids.shape[1]
    margin = 0.06 * width
    candidates = (
        (f"leftmost {noun}", [width - s.center[1] for s in group], margin, 0.0),
        (f"rightmost {noun}", [s.center[1] for s in group], margin, 0.0),
        (f"largest {noun}", [s.area for s in group], 0.0, 1.4),
        (f"smallest {noun}", [1 / s.area for s in group], 0.0, 1.4),
        (f"{noun} nearest to the camera", [1 / s.depth_m for s in group], 0.0, 1.2),
        (f"{noun} farthest from the camera", [s.depth_m for s in group], 0.0, 1.2),
    )
    found = []
    for phrase, keys, least, ratio in candidates:
        best = _extreme(group, keys, least, ratio)
        if best is not None:
            found.append((best, f"the {phrase}"))
    return found


def _relational(scene: Scene, target: Seen) -> list[str]:
    """Expressions that tell `target` from others of its class by what it stands beside."""
    kin = [s for s in visible(scene) if s.kind == target.kind]
    if len(kin) < 2:
        return []
    found = []
    for anchor in scene.counted:
        if anchor.kind == target.kind:
            continue
        unique = names(scene, anchor)
        for relation in RELATIONS if unique else ():
            holds = [relates(scene, s, relation, anchor) for s in kin]
            if holds.count(False) == len(kin) - 1 and relates(scene, target, relation, anchor):
                found.append(f"the {target.kind} {_WORDING[relation]} the {unique[0]}")
    return found


def expressions(scene: Scene) -> dict[int, tuple[list[str], ...]]:
    """For every counted instance, by id, what refers to it alone: names, superlatives, relations.

    Instances without any expression are left out.
    """
    shown, best = visible(scene), []
    for kind in sorted({s.kind for s in shown}):
        best += superlatives(scene, [s for s in shown if s.kind == kind], kind)
    best += superlatives(scene, shown, "object")
    found: dict[int, tuple[list[str], ...]] = {}
    for target in scene.counted:
        forms = (
            [f"the {name}" for name in names(scene, target)],
            [phrase for solid, phrase in best if solid.id == target.id],
            _relational(scene, target),
        )
        if any(forms):
            found[target.id] = forms
    return found


def choose(rng: np.random.Generator, items: Any) -> Any:
    """One of a sequence's items, each as likely."""
    return items[int(rng.random() * len(items))]


def refer(
    scene: Scene, rng: np.random.Generator, named: bool = False, everything: bool = False
) -> tuple[list[int], list[str]]:
    """Ids of instances and an expression for each; empty if nothing is clear.

    Args:
      scene: the scene.
      rng: draws the choice.
      named: leaves names alone, "the red cube", where any instance has one.
      everything: all instances that can be referred to, else 1 (in 60 %) to 3 of them.
    """
    found = expressions(scene)
    if named and any(forms[0] for forms in found.values()):
        found = {i: (forms[0], [], []) for i, forms in found.items() if forms[0]}
    draw = rng.random()
    number = min(len(found), 1 if draw < 0.6 else 2 if draw < 0.85 else 3)
    number = len(found) if everything else number
    ids = [list(found)[i] for i in rng.permutation(len(found))[:number]]
    return ids, [choose(rng, _pick_form(rng, found[i])) for i in ids]


def _pick_form(rng: np.random.Generator, forms: tuple[list[str], ...]) -> list[str]:
    """One of the lists that is not empty; relations, seldom possible, in 60 % where they are."""
    if forms[2] and rng.random() < 0.6:
        return forms[2]
    return choose(rng, [form for form in forms if form])


def _groups(scene: Scene) -> list[list[Seen]]:
    """Visible solids by colour and class, largest group first.

    Groups with tiny members are left out where there are others: nobody could check their count.
    """
    groups: dict[tuple[str, str], list[Seen]] = {}
    for solid in visible(scene):
        groups.setdefault((solid.color, solid.kind), []).append(solid)
    whole = [g for g in groups.values() if min(s.area for s in g) >= scene.min_area]
    whole = whole or list(groups.values())
    return sorted(whole, key=lambda g: (-sum(s.area for s in g), g[0].id))


def _noun(group: list[Seen]) -> str:
    noun = f"{group[0].color} {group[0].kind}"
    return a(noun) if len(group) == 1 else f"{COUNTS[len(group)]} {noun}s"


def _relation(scene: Scene, one: Seen, two: Seen, rng: np.random.Generator) -> str | None:
    """A clear relation of `one` to `two` that also shows in the picture, or None."""
    if relates(scene, one, "above", two):
        return "above"
    clear = [r for r in RELATIONS[:2] if relates(scene, one, r, two)]
    lower = (one.box[2] - two.box[2]) / scene.ids.shape[0]
    for relation, sign in (("in front of", 1), ("behind", -1)):
        on_ground = not (one.support or two.support)
        if on_ground and relates(scene, one, relation, two) and sign * lower > 0.05:
            clear.append(relation)
    return choose(rng, clear) if clear else None


def caption(
    scene: Scene, rng: np.random.Generator
) -> tuple[str, tuple[dict[str, Any], ...], tuple[tuple[int, str, int], ...]]:
    """A caption of the 1 to 4 largest groups of alike solids.

    Returns:
      The caption; its objects, each {"class", "color", "count"}; relations (i, name, j) between
      the objects i and j of that tuple, where the caption states one.
    """
    draw = rng.random()
    groups = _groups(scene)[: 1 if draw < 0.1 else 2 if draw < 0.45 else 3 if draw < 0.8 else 4]
    relations: list[tuple[int, str, int]] = []
    single = [i for i, group in enumerate(groups) if len(group) == 1]
    if len(single) >= 2 and rng.random() < 0.75:
        i, j = (single[0], single[1]) if rng.random() < 0.5 else (single[1], single[0])
        relation = _relation(scene, groups[i][0], groups[j][0], rng)
        if relation:
            rest = [g for k, g in enumerate(groups) if k not in (i, j)]
            groups = [groups[i], groups[j], *rest]
            relations.append((0, relation, 1))
    nouns = [_noun(group) for group in groups]
    if relations:
        nouns = [f"{nouns[0]} {_WORDING[relations[0][1]]} {nouns[1]}", *nouns[2:]]
    setting = scene.layout.setting
    place = setting.phrase
    if rng.random() < 0.4:
        place = "outdoors" if setting.outdoors else "in a room"
    text = ", ".join(nouns[:-1]) + " and " + nouns[-1] if len(nouns) > 1 else nouns[0]
    objects = tuple(
        {"class": group[0].kind, "color": group[0].color, "count": len(group)} for group in groups
    )
    return f"{text} {place}", objects, tuple(relations)


def class_list(
    scene: Scene, rng: np.random.Generator, everything: bool
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Classes to ask for, in random order, and their ids in `scene_render.CLASSES`.

    Args:
      scene: the scene.
      rng: draws the choice.
      everything: whether to list all classes in the picture and one that is not there; else 2 to
        8, most of those present and in 30 % one or two absent ones.
    """
    present = [int(i) for i in np.unique(scene.classes)]
    absent = [i for i in range(1, len(scene_render.CLASSES)) if i not in present]
    absent = [absent[i] for i in rng.permutation(len(absent))]
    if everything:
        chosen = present + absent[:1]
    else:
        draw = rng.random(2)
        extra = absent[: 1 if draw[0] < 0.2 else 2 if draw[0] < 0.3 else 0]
        most = min(len(present), 8 - len(extra))
        keep = max(2 if len(present) > 1 else 1, most - int(draw[1] * draw[1] * most))
        chosen = [present[i] for i in rng.permutation(len(present))[:keep]] + extra
    ids = tuple(chosen[i] for i in rng.permutation(len(chosen)))
    return tuple(scene_render.CLASSES[i] for i in ids), ids


def phrase(scene: Scene, rng: np.random.Generator) -> str:
    """What to segment one by one: in 30 % "object", else a class, rather one seen twice."""
    kinds = [solid.kind for solid in scene.counted]
    several = sorted({kind for kind in kinds if kinds.count(kind) > 1})
    if rng.random() < 0.3 or not kinds:
        return "object"
    return choose(rng, several or sorted(set(kinds)))


def absent_kinds(scene: Scene) -> list[str]:
    """Classes of solids of which not a single pixel is visible."""
    shown = {solid.kind for solid in visible(scene)}
    return [kind for kind in scene_solids.KINDS if kind not in shown]


def absent_phrase(scene: Scene, rng: np.random.Generator) -> str | None:
    """What could be segmented one by one and is not in the picture; None if every class is."""
    kinds = absent_kinds(scene)
    return choose(rng, kinds) if kinds else None


def absent_expression(scene: Scene, rng: np.random.Generator) -> str:
    """An expression for nothing in the picture: in half a class that is not there, where there is
    one, else a class that is, in a colour that none of its solids has.
    """
    kinds = absent_kinds(scene)
    shown = visible(scene)
    if kinds and (not shown or rng.random() < 0.5):
        return f"the {choose(rng, kinds)}"
    kind = choose(rng, sorted({solid.kind for solid in shown}))
    taken = {solid.color for solid in shown if solid.kind == kind}
    color = choose(rng, [name for name in scene_settings.COLORS if name not in taken])
    return f"the {color} {kind}"
