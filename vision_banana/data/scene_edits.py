"""Edits of a scene: an instruction and the picture that it asks for, rendered anew.

The first reference is always the scene itself, so that an edit can share it with the perception
tasks.
"""

import dataclasses

import numpy as np

from vision_banana.data import (
    scene_language,
    scene_layout,
    scene_render,
    scene_settings,
    scene_solids,
)
from vision_banana.data.scene_layout import Layout, Solid
from vision_banana.data.scene_render import Scene, Seen

Edit = tuple[str, Layout]


def _with_solid(layout: Layout, number: int, solid: Solid) -> Layout:
    solids = (*layout.solids[:number], solid, *layout.solids[number + 1 :])
    return dataclasses.replace(layout, solids=solids)


def _without_solid(layout: Layout, number: int) -> Layout:
    """The layout without a solid that bears none; what the others stand on is counted anew."""
    kept = layout.solids[:number] + layout.solids[number + 1 :]
    kept = tuple(dataclasses.replace(s, support=s.support - (s.support > number)) for s in kept)
    return dataclasses.replace(layout, solids=kept)


def _named(scene: Scene, rng: np.random.Generator) -> list[tuple[Seen, str]]:
    """Counted instances that have a name of their own, in random order, with such a name."""
    found = []
    for i in rng.permutation(len(scene.counted)):
        options = scene_language.names(scene, scene.counted[i])
        if options:
            found.append((scene.counted[i], f"the {scene_language.choose(rng, options)}"))
    return found


def recolor(scene: Scene, rng: np.random.Generator) -> Edit | None:
    """One solid in another colour; None if no solid has a name of its own."""
    named = _named(scene, rng)
    if not named:
        return None
    target, name = named[0]
    color = scene_language.choose(rng, [c for c in scene_settings.COLORS if c != target.color])
    form = scene_language.choose(rng, ("make {} {}", "turn {} {}", "change the color of {} to {}"))
    layout, number = scene.layout, target.id - 1
    painted = scene_layout.repaint(layout.solids[number], color, rng)
    return form.format(name, color), _with_solid(layout, number, painted)


def remove(scene: Scene, rng: np.random.Generator) -> Edit | None:
    """One solid gone; None if none that bears no other has a name of its own."""
    bearing = {solid.support for solid in scene.solids}
    named = [(target, name) for target, name in _named(scene, rng) if target.id not in bearing]
    if not named:
        return None
    target, name = named[0]
    form = scene_language.choose(rng, ("remove {}", "delete {}", "take away {}"))
    return form.format(name), _without_solid(scene.layout, target.id - 1)


def _spare_place(scene: Scene, rng: np.random.Generator) -> str | None:
    """Where the spare solid will be ("left of the red cube"), or None if that is not clear."""
    layout = scene.layout
    if layout.spare is None:
        return None
    # It may be hidden so far that it would not count as an instance.
    if scene_render.render(_add_spare(layout), scene.ids.shape).solids[-1].area < scene.min_area:
        return None
    if layout.spare.support >= 0:
        base = scene.solids[layout.spare.support]
        options = scene_language.names(scene, base) if base.area >= scene.min_area else []
        return f"on top of the {scene_language.choose(rng, options)}" if options else None
    height, width = scene.ids.shape
    across = layout.camera.project(layout.spare.center)[0] * min(height, width) / 2 + width / 2
    named = []
    for anchor, name in _named(scene, rng):
        gap = (anchor.center[1] - across) / width
        if abs(gap) > 0.1:
            named.append((abs(gap), f"{'left' if gap > 0 else 'right'} of {name}"))
    return min(named)[1] if named else None


def _add_spare(layout: Layout) -> Layout:
    assert layout.spare is not None
    return dataclasses.replace(layout, solids=(*layout.solids, layout.spare), spare=None)


def add(scene: Scene, rng: np.random.Generator) -> Edit | None:
    """The spare solid added; None if there is none, it is hidden or its place has no clear name."""
    place = _spare_place(scene, rng)
    spare = scene.layout.spare
    if place is None or spare is None:
        return None
    form = scene_language.choose(rng, ("add {} {}", "put {} {}", "place {} {}"))
    noun = scene_language.a(f"{spare.color} {spare.kind}")
    return form.format(noun, place), _add_spare(scene.layout)


def replace_background(scene: Scene, rng: np.random.Generator) -> Edit:
    """The same camera and solids in another, named place."""
    setting = scene_settings.draw_named(rng, unlike=scene.layout.setting)
    forms = [
        "replace the background with {}",
        "change the background to {}",
        "put the objects on {}" if setting.outdoors else "put the objects in {}",
    ]
    layout = dataclasses.replace(scene.layout, setting=setting)
    return scene_language.choose(rng, forms).format(setting.name), layout


def edit(scene: Scene, rng: np.random.Generator) -> Edit:
    """An edit of one picture: recolour, remove, add or replace background."""
    draw = rng.random()
    if draw < 0.3:
        found = recolor(scene, rng)
    elif draw < 0.55:
        found = remove(scene, rng)
    elif draw < 0.8:
        found = add(scene, rng)
    else:
        found = None
    return found or replace_background(scene, rng)


def _insert(
    scene: Scene, other: Scene, rng: np.random.Generator
) -> tuple[str, Layout, Layout] | None:
    """The spare solid of the first picture, shown in the second, put into the first."""
    place, spare = _spare_place(scene, rng), scene.layout.spare
    hosts = [
        s for s in other.counted if not s.support and all(o.support != s.id for o in other.solids)
    ]
    if place is None or spare is None or not hosts:
        return None
    number = scene_language.choose(rng, hosts).id - 1
    host = other.layout.solids[number]
    scale = host.bound / spare.bound
    half = (spare.scale[0] * scale, spare.scale[1] * scale, spare.scale[2] * scale)
    lying = abs(float(spare.rotation[1, 1])) < 0.5
    height = half[0] * scene_solids.KINDS[spare.kind].girth if lying else half[1]
    shown = dataclasses.replace(
        spare,
        center=(host.center[0], height, host.center[2]),
        scale=half,
        bound=host.bound,
        texture=dataclasses.replace(spare.texture, cell=spare.texture.cell * scale),
        support=-1,
    )
    second = _with_solid(other.layout, number, shown)
    clash = [s for s in other.solids if s.id != number + 1 and s.kind == spare.kind and s.area]
    noun = (
        f"{spare.color} {spare.kind}"
        if clash
        else scene_language.choose(rng, (spare.kind, f"{spare.color} {spare.kind}"))
    )
    if any(s.color == spare.color for s in clash):
        return None
    instruction = f"put the {noun} of the second picture {place} of the first picture"
    return instruction, second, _add_spare(scene.layout)


def _copy_color(
    scene: Scene, other: Scene, rng: np.random.Generator
) -> tuple[str, Layout, Layout] | None:
    """A solid of the first picture in the colour of a solid of the second."""
    for target, name in _named(scene, rng):
        for model in other.counted:
            alone = all(
                s.kind != model.kind or s.id == model.id or not s.area for s in other.solids
            )
            if alone and model.color != target.color:
                number = target.id - 1
                painted = scene_layout.repaint(scene.layout.solids[number], model.color, rng)
                instruction = (
                    f"give {name} of the first picture the color of the {model.kind} of the second"
                )
                return instruction, other.layout, _with_solid(scene.layout, number, painted)
    return None


def edit_with_second(
    scene: Scene, other: Scene, rng: np.random.Generator
) -> tuple[str, Layout, Layout]:
    """An edit of the first picture by what the second shows.

    Returns:
      The instruction, the second picture's layout and the target's: the second's background given
      to the first, a solid of the second put into the first, or a colour taken from the second.
    """
    draw = rng.random()
    found = None
    if draw < 0.35:
        found = _insert(scene, other, rng)
    elif draw < 0.65:
        found = _copy_color(scene, other, rng)
    if found is not None:
        return found
    layout = dataclasses.replace(scene.layout, setting=other.layout.setting)
    form = scene_language.choose(
        rng,
        (
            "give the background of the second picture to the first",
            "move the objects of the first picture to the background of the second",
        ),
    )
    return form, other.layout, layout


def render(layout: Layout, scene: Scene) -> np.ndarray:
    """The layout as an (H, W, 3) float32 picture of the scene's size."""
    height, width = scene.ids.shape
    return scene_render.render(layout, (height, width)).rgb
