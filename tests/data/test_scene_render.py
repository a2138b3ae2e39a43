import numpy as np
import pytest
from hand_made_scenes import camera, layout, solid

from vision_banana.data import scene_layout, scene_render, scene_settings, scene_solids, scenes

HELDOUT = scenes.Scenes("heldout")

# Hand-computed pictures. The 9 x 9 picture of a level camera with tangent 1 has its central ray
# at (4, 4), and ray (r, c) is ((c - 4) / 4.5, (4 - r) / 4.5, -1).


def test_depth_of_ground_and_sky_by_hand():
    scene = scene_render.render(layout(solid("sphere", (0, 1.5, 50), (1, 1, 1))), 9)
    assert np.isinf(scene.depth_m[:5]).all()
    np.testing.assert_allclose(scene.depth_m[5], 1.5 * 4.5, rtol=1e-6)
    np.testing.assert_allclose(scene.depth_m[8], 1.5 * 4.5 / 4, rtol=1e-6)
    assert (scene.normals[:5] == 0).all()
    assert (scene.normals[5:] == [0, 1, 0]).all()
    assert {scene_render.CLASSES[i] for i in np.unique(scene.classes)} == {"ground", "sky"}


def test_depth_of_a_room_by_hand():
    scene = scene_render.render(layout(setting=scene_settings.room("blue", "gray")), 9)
    names = np.array(scene_render.CLASSES)[scene.classes]
    assert (names[4, 4], names[8, 4], names[0, 4], names[4, 0]) == (
        "wall", "floor", "ceiling", "wall",
    )  # fmt: skip
    # Far wall at z = -6; floor 1.5 m below, ceiling 1 m above, left wall 3 m left; outer rays
    # rise or fall by 4 / 4.5.
    np.testing.assert_allclose(scene.depth_m[4, 4], 6, rtol=1e-6)
    np.testing.assert_allclose(scene.depth_m[8, 4], 1.5 * 4.5 / 4, rtol=1e-6)
    np.testing.assert_allclose(scene.depth_m[0, 4], 1.0 * 4.5 / 4, rtol=1e-6)
    np.testing.assert_allclose(scene.depth_m[4, 0], 3 * 4.5 / 4, rtol=1e-6)
    assert scene.normals[4, 4].tolist() == [0, 0, 1]
    assert scene.normals[8, 4].tolist() == [0, 1, 0]
    assert scene.normals[0, 4].tolist() == [0, -1, 0]
    assert scene.normals[4, 0].tolist() == [1, 0, 0]
    assert scene.normals[4, 8].tolist() == [-1, 0, 0]


def test_depth_runs_along_the_optical_axis():
    # A cube's face at z = -3 is 3 m deep at every pixel, though its corners are farther away.
    scene = scene_render.render(layout(solid("cube", (0, 1.5, -4), (2, 1, 1))), 64)
    face = scene.ids == 1
    assert face.sum() > 200
    np.testing.assert_allclose(scene.depth_m[face], 3, rtol=1e-5)
    np.testing.assert_allclose(scene.normals[face], np.broadcast_to([0, 0, 1], (face.sum(), 3)))


def test_a_nearer_solid_hides_a_farther_one():
    # Faces at z = -3, 1 m to each side, and at z = -5, 2 m to each side: seen at
    # |x| < 1/3 and |x| < 2/5 of the 32 pixels from the middle to the border.
    near, far = solid("cube", (0, 1.5, -4), (1, 1, 1)), solid("cube", (0, 1.5, -6), (2, 1, 1))
    for solids, ids in (((near, far), (1, 2)), ((far, near), (2, 1))):
        scene = scene_render.render(layout(*solids), 64)
        assert scene.ids[32, 32] == ids[0] and scene.ids[32, 32 + 12] == ids[1]  # x = 12.5 / 32
        np.testing.assert_allclose(scene.depth_m[32, [32, 44]], [3, 5], rtol=1e-6)


def test_sphere_by_hand():
    scene = scene_render.render(layout(solid("sphere", (0, 1.5, -4), (1, 1, 1))), 9)
    np.testing.assert_allclose(scene.depth_m[4, 4], 3, rtol=1e-6)
    # The ray (1 / 4.5, 0, -1) t meets |p - (0, 0, -4)| = 1 first where
    # t^2 (1 + 1 / 20.25) - 8 t + 15 = 0.
    a = 1 + 1 / 20.25
    t = (8 - np.sqrt(64 - 60 * a)) / (2 * a)
    np.testing.assert_allclose(scene.depth_m[4, 5], t, rtol=1e-5)
    np.testing.assert_allclose(scene.normals[4, 5], [t / 4.5, 0, 4 - t], atol=1e-5)


def test_camera_turns_by_hand():
    # Looking down by 90 degrees from 1.5 m: the ground is 1.5 m deep everywhere and faces us.
    down = scene_layout._turn(0, -np.pi / 2)
    scene = scene_render.render(layout(at=camera(rotation=down)), 9)
    np.testing.assert_allclose(scene.depth_m, 1.5, rtol=1e-6)
    np.testing.assert_allclose(scene.normals, np.broadcast_to([0, 0, 1.0], (9, 9, 3)), atol=1e-6)
    # Turned left by 90 degrees, what stood to the left (-x) is ahead.
    left = camera(rotation=scene_layout._turn(1, np.pi / 2))
    scene = scene_render.render(layout(solid("sphere", (-4, 1.5, 0), (1, 1, 1)), at=left), 9)
    np.testing.assert_allclose(scene.depth_m[4, 4], 3, rtol=1e-6)
    assert left.project((-4.0, 1.5, 0.0))[2] == pytest.approx(4)
    right, lower, depth = left.project((-4.0, 0.5, -2.0))
    assert (right, lower, depth) == pytest.approx((0.5, 0.25, 4))


def inside(kind, p):
    """Whether points (3, n) of the unit frame lie in the solid, written anew."""
    x, y, z = p
    if kind in ("sphere", "egg"):
        return x * x + y * y + z * z <= 1
    if kind == "capsule":
        return x * x + z * z + (np.abs(y) - np.clip(np.abs(y), 0, 0.5)) ** 2 <= 0.25
    level, narrow = np.abs(y) <= 1, (1 - y) / 2
    return (
        level
        & {
            "cube": (np.abs(x) <= 1) & (np.abs(z) <= 1),
            "cylinder": np.hypot(x, z) <= 1,
            "cone": np.hypot(x, z) <= narrow,
            "pyramid": (np.abs(x) <= narrow) & (np.abs(z) <= narrow),
            "prism": (np.abs(x) <= narrow) & (np.abs(z) <= 1),
        }[kind]
    )


@pytest.mark.parametrize("kind", scene_solids.KINDS)
def test_rays_enter_where_marching_says(kind):
    rng = np.random.default_rng(7)
    o = rng.normal(size=(3, 500))
    o *= 4 / np.linalg.norm(o, axis=0)
    d = (rng.uniform(-1.5, 1.5, (3, 500)) - o) / 4
    t = scene_solids.KINDS[kind].enter(o.astype(np.float32), d.astype(np.float32))
    steps = np.linspace(0, 8, 4001)
    hit = np.stack([inside(kind, o + s * d) for s in steps])
    first = np.where(hit.any(0), steps[hit.argmax(0)], np.inf)
    assert 100 < np.isfinite(first).sum() < 500
    # A grazing ray may pass between two steps.
    assert (np.isfinite(first) <= np.isfinite(t)).all()
    assert (np.isfinite(t) & ~np.isfinite(first)).sum() <= 5
    both = np.isfinite(first) & np.isfinite(t)
    assert np.abs(t[both] - first[both]).max() < 0.003
    # Normals point out of the solid: a step along it leaves, a step against it enters.
    p = (o + t * d)[:, both]
    n = scene_solids.unit(scene_solids.KINDS[kind].normal(p.astype(np.float32)))
    assert not inside(kind, p + 1e-3 * n).any()
    assert inside(kind, p - 1e-3 * n).mean() > 0.98


def test_normals_are_the_slopes_of_the_depth():
    angles = []
    for i in range(4):
        scene = scenes.Scenes("heldout", 256).scene(i)
        right, up = scene_render._grid(256, 256)
        tangent = scene.layout.camera.tangent
        d = scene.depth_m
        p = np.stack([right * tangent * d, up * tangent * d, -d], -1)
        with np.errstate(invalid="ignore"):
            across, down = p[:, 2:] - p[:, :-2], p[2:] - p[:-2]
            n = np.cross(down[:, 1:-1], across[1:-1])
            n /= np.linalg.norm(n, axis=-1, keepdims=True)
        truth = scene.normals[1:-1, 1:-1]
        keep = np.isfinite(n).all(-1) & (np.abs(truth).sum(-1) > 0)
        cosine = (n * truth).sum(-1)[keep]
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        rays = np.stack(np.broadcast_arrays(right * tangent, up * tangent, -1.0), -1)
        assert ((scene.normals * rays).sum(-1) <= 1e-6).all(), "a normal faces away"
    angles = np.concatenate(angles)
    assert np.median(angles) < 0.5
    assert (angles < 3).mean() > 0.9


def test_windows_cut_nothing_off(monkeypatch):
    shown = [HELDOUT.scene(i) for i in range(30)]
    monkeypatch.setattr(scene_render, "_window", lambda *_: (slice(0, 64), slice(0, 64)))
    for scene in shown:
        whole = scene_render.render(scene.layout, 64)
        np.testing.assert_array_equal(whole.ids, scene.ids)
        np.testing.assert_array_equal(whole.depth_m, scene.depth_m)


def test_shadow_falls_where_the_sun_is_hidden():
    # The sun stands overhead, so the shadow of a floating cube lies right below it.
    cube = solid("cube", (0, 1.0, -4), (0.5, 0.2, 0.5))
    scene = scene_render.render(layout(cube), 64)
    plain = scene_render.render(layout(), 64)
    right, _ = scene_render._grid(64, 64)
    x, z = right * scene.depth_m, -scene.depth_m
    ground = scene.classes == scene_render.CLASS_IDS["ground"]
    below = ground & (np.abs(x) < 0.45) & (np.abs(z + 4) < 0.45)
    clear = ground & ((np.abs(x) > 0.55) | (np.abs(z + 4) > 0.55))
    assert below.sum() > 5
    assert (scene.rgb[below] < 0.75 * plain.rgb[below]).all()
    np.testing.assert_array_equal(scene.rgb[clear], plain.rgb[clear])
