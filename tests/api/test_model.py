"""Three lines of Python: what goes in, what comes out, and how often it is compiled."""

import io
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from nano_run import SIZE, model, write
from PIL import Image

import vision_banana as vb
from vision_banana.api import images
from vision_banana.evaluation import ask, predict
from vision_banana.models.generator import Generator

RNG = np.random.default_rng(0)
WIDE = RNG.integers(0, 256, (12, 40, 3), np.uint8)
TALL = RNG.integers(0, 256, (30, 9, 3), np.uint8)


@pytest.fixture(scope="module")
def nano():
    return vb.Model(model())


@pytest.fixture
def traces(monkeypatch):
    """How often the generator has been traced."""
    seen = []
    plain = Generator.denoise
    monkeypatch.setattr(Generator, "denoise", lambda *args: seen.append(1) or plain(*args))
    return seen


def damaged():
    """An open PNG whose second chunk of pixels has no name."""
    buffer = io.BytesIO()
    noise = RNG.integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "png")
    data = buffer.getvalue()
    at = data.rindex(b"IDAT")
    return Image.open(io.BytesIO(data[:at] + bytes(4) + data[at + 4 :]))


def test_one_and_one_give_one_and_lists_give_lists(nano):
    depth = nano.perceive(WIDE, "metric depth")
    assert isinstance(depth, vb.Depth)
    assert (depth.task, depth.seed, depth.steps) == ("depth", 0, 1)
    assert depth.prompt == "generate a metric depth map of this image"
    assert depth.depth_m.shape == depth.confidence.shape == (12, 40)
    assert depth.depth_m.dtype == np.float32 and (depth.depth_m >= 0).all()

    two = nano.perceive(WIDE, ["depth", "surface normals"])
    assert [type(x) for x in two] == [vb.Depth, vb.Normals]
    np.testing.assert_allclose(two[0].depth_m, depth.depth_m, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(two[1].normals, axis=-1), 1, atol=1e-5)

    rows = nano.perceive([WIDE, TALL], ["depth", "normals"])
    assert [[x.confidence.shape for x in row] for row in rows] == [2 * [(12, 40)], 2 * [(30, 9)]]
    np.testing.assert_allclose(rows[0][0].depth_m, depth.depth_m, rtol=1e-4)

    assert [x.confidence.shape for x in nano.perceive([TALL], "depth")] == [(30, 9)]
    assert nano.perceive([], "depth") == [] and nano.perceive(WIDE, []) == []


def test_prompts_may_come_from_a_generator(nano):
    rows = nano.perceive([WIDE, TALL], (name for name in ["depth", "normals"]))
    assert [[type(x) for x in row] for row in rows] == [[vb.Depth, vb.Normals]] * 2


def test_each_task_has_its_type(nano):
    labelled = nano.perceive(WIDE, ["cube: red, sphere: blue, background: black", "instances"])
    named = nano.perceive(WIDE, ["The largest object is rendered red.", "make the cube blue"])
    found = labelled + named
    assert [type(x) for x in found] == [vb.Segmentation, vb.Instances, vb.Regions, vb.Picture]
    labels, instances, regions, picture = found
    assert labels.names == ("cube", "sphere")
    assert set(np.unique(labels.labels)) <= {0, 1, 255}
    assert instances.ids.shape == (12, 40) and instances.ids.min() >= 0
    assert regions.names == ("largest object",) and regions.masks.shape == (1, 12, 40)
    assert picture.rgb.shape == (12, 40, 3) and 0 <= picture.rgb.min() <= picture.rgb.max() <= 1


def test_a_named_task_beats_the_wording(nano):
    answer = nano.perceive(WIDE, "cube: red, cone: blue", task="referring_segmentation")
    assert isinstance(answer, vb.Regions) and answer.task == "referring_segmentation"
    assert isinstance(nano.perceive(WIDE, task="normals"), vb.Normals)


def test_drawing(nano):
    one = nano.generate("a red cube")
    assert isinstance(one, vb.Picture) and one.rgb.shape == (SIZE, SIZE, 3)
    assert (one.task, one.prompt, one.steps) == ("image_generation", "a red cube", 20)
    again, other = (nano.generate("a red cube", seed=s).rgb for s in (0, 1))
    np.testing.assert_array_equal(one.rgb, again)
    assert (one.rgb != other).any()
    first, second = nano.generate(["a red cube"] * 2)
    assert (first.rgb != second.rgb).any()  # two pictures of one prompt


def test_each_answer_of_a_list_can_be_had_alone(nano):
    drawn = nano.generate(["a blue cube", "a red cube", "a red cube"], seed=3, steps=4)
    assert [x.seed for x in drawn] == [3, 4, 5]
    for x in drawn:
        alone = nano.generate(x.prompt, seed=x.seed, steps=4)
        np.testing.assert_allclose(alone.rgb, x.rgb, atol=1e-4)

    asked = {"steps": 4, "votes": 3}
    rows = nano.perceive([WIDE, TALL], ["depth", "normals"], seed=2**31 - 2, **asked)
    assert [[x.seed for x in row] for row in rows] == [[2**31 - 2, 2**31 - 1], [0, 1]]
    for picture, row in zip((WIDE, TALL), rows, strict=True):
        for x in row:
            alone = nano.perceive(picture, task=x.task, seed=x.seed, **asked)
            np.testing.assert_allclose(alone.drawn, x.drawn, atol=1e-4)
            np.testing.assert_allclose(alone.picture, x.picture, atol=1e-2)


def test_the_generator_works_at_the_shape_that_is_asked_for(nano, monkeypatch):
    assert nano.generate("a red cube", shape=(8, 24)).rgb.shape == (8, 24, 3)
    seen = set()
    plain = Generator.encode
    monkeypatch.setattr(
        Generator, "encode", lambda *args: seen.add(args[3].shape[2:4]) or plain(*args)
    )
    wide, own = nano.perceive(WIDE, "depth", shape=(8, 32)), nano.perceive(WIDE, "depth")
    assert wide.depth_m.shape == own.depth_m.shape == (12, 40)
    assert (wide.depth_m != own.depth_m).any()
    assert nano.edit(WIDE, "make the cube blue", shape=(16, 24)).rgb.shape == (12, 40, 3)
    assert seen >= {(8, 32), (16, 24)}  # that of its training may be compiled already


def test_editing_with_one_and_with_two_pictures(nano):
    one = nano.edit(WIDE, "make the cube blue")
    assert one.steps == nano.perceive(WIDE, "make the cube blue").steps == predict.EDITING_STEPS
    assert one.rgb.shape == (12, 40, 3) and len(one.shown) == 1
    both = nano.edit([(WIDE, TALL), WIDE], ["make the cube blue"])
    assert [[len(x.shown) for x in row] for row in both] == [[2], [1]]
    assert [row[0].rgb.shape for row in both] == [(12, 40, 3), (12, 40, 3)]
    assert (both[0][0].rgb != both[1][0].rgb).any()
    np.testing.assert_allclose(both[1][0].rgb, one.rgb, atol=1e-5)
    asked = nano.perceive([(WIDE, TALL)], "make the cube blue")[0]
    assert len(asked.shown) == 2
    np.testing.assert_allclose(asked.rgb, both[0][0].rgb, atol=1e-5)


def test_every_kind_of_picture_is_the_same_picture(nano, tmp_path):
    path, buffer = tmp_path / "wide.png", io.BytesIO()
    Image.fromarray(WIDE).save(path)
    Image.fromarray(WIDE).save(buffer, "png")
    expected = nano.perceive(WIDE, "depth").depth_m
    for image in (
        path, str(path), buffer.getvalue(), Image.fromarray(WIDE), jnp.asarray(WIDE),
        WIDE.astype(np.float32) / 255, WIDE.astype(np.uint16) * 257,
        (WIDE.astype(np.uint16) * 257).astype(">u2"),
        np.concatenate([WIDE, np.full((12, 40, 1), 255, np.uint8)], -1),
    ):  # fmt: skip
        np.testing.assert_allclose(nano.perceive(image, "depth").depth_m, expected, rtol=1e-4)


def test_a_picture_with_a_damaged_exif_block_stays_as_it_is_stored(nano):
    buffer = io.BytesIO()
    Image.fromarray(WIDE).save(buffer, "png", exif=b"Exif\0\0no block")
    (shown,) = nano.perceive(Image.open(buffer), "depth").shown
    np.testing.assert_allclose(shown, WIDE / 255, atol=1e-6)


def test_two_queries_of_one_shape_compile_once(traces):
    fresh = vb.Model(model()._replace(model=Generator("nano", text_length=63, dtype="float32")))
    fresh.perceive(WIDE, "depth")
    assert len(traces) > 0
    before = len(traces)
    fresh.perceive(TALL, "normals")  # another size, task and seed, one shape for the generator
    fresh.perceive(WIDE, "cube: red, cone: blue", seed=3)
    assert len(traces) == before


def test_a_picture_is_looked_at_once_for_all_prompts(nano, monkeypatch):
    shapes = []
    plain = ask._batch

    def batch(*args):
        made = plain(*args)
        shapes.append((made["tokens"].shape[:2], made["references"].shape[:2]))
        return made

    monkeypatch.setattr(ask, "_batch", batch)
    nano.perceive([WIDE, TALL], ["depth", "normals"])
    assert shapes == [((2, 2), (2, 1))]  # groups and prompts; groups and pictures


def test_votes_look_twice_whatever_their_number(nano, monkeypatch):
    shapes = []
    plain = ask._batch
    monkeypatch.setattr(ask, "_batch", lambda *args: shapes.append(len(args[0])) or plain(*args))
    one = nano.perceive(WIDE, "depth")
    voted = nano.perceive(WIDE, "depth", votes=4)
    assert shapes == [1, 2]  # as it is, and mirrored
    assert (one.votes, voted.votes) == (1, 4) and "4 votes" in repr(voted)
    np.testing.assert_allclose(voted.drawn, one.drawn, atol=1e-5)  # of the first vote
    assert (voted.depth_m != one.depth_m).any()
    assert voted.confidence.mean() < one.confidence.mean()


@pytest.mark.parametrize(
    ("ask_it", "error", "says"),
    [
        (lambda m: m.perceive(WIDE, "depth", votes=0), ValueError, "votes is 0"),
        (lambda m: m.perceive(WIDE, "dpeth"), ValueError, "did you mean 'depth'"),
        (lambda m: m.perceive(WIDE, "metric dpeth"), ValueError, "mean 'metric depth'"),
        (lambda m: m.perceive(WIDE, task="instnces"), ValueError, "'instance_segmentation'"),
        (lambda m: m.perceive(WIDE), ValueError, "nothing is asked"),
        (lambda m: m.perceive(WIDE, ""), ValueError, "empty: say what to ask"),
        (lambda m: m.edit(WIDE, " "), ValueError, "empty: say what to change"),
        (lambda m: m.generate(""), ValueError, "empty: say what to draw"),
        (lambda m: m.perceive(WIDE, "the chair"), ValueError, "not clear from 'the chair'"),
        (lambda m: m.perceive((WIDE, TALL), "depth"), ValueError, "one picture; 2 were given"),
        (lambda m: m.perceive((WIDE, TALL), task="normals"), ValueError, "2 were given"),
        (lambda m: m.perceive((), "a cube", task="depth"), ValueError, "give one"),
        (lambda m: m.perceive("absent.png", "depth"), FileNotFoundError, r"absent\.png: give"),
        (lambda m: m.perceive(os.sep, "depth"), FileNotFoundError, "no picture file /"),
        (lambda m: m.perceive("https://a.b/c.png", "depth"), ValueError, "not fetched"),
        (lambda m: m.perceive(b"GIF", "depth"), ValueError, "3 bytes cannot be read"),
        (lambda m: m.perceive(damaged(), "depth"), ValueError, "300x300 is truncated or damaged"),
        (lambda m: m.perceive(None, "depth"), ValueError, "NoneType is no picture"),
        (lambda m: m.perceive([None], "depth"), ValueError, "NoneType is no picture"),
        (lambda m: m.perceive(WIDE * 1.0, "depth"), ValueError, r"outside \[0, 1\]"),
        (lambda m: m.perceive(np.full((4, 4, 3), np.nan), "depth"), ValueError, "NaN"),
        (lambda m: m.perceive(WIDE[None], "depth"), ValueError, r"\(1, 12, 40, 3\)"),
        (lambda m: m.perceive(WIDE.astype(int), "depth"), ValueError, "use uint8"),
        (lambda m: m.perceive(WIDE, "depth", steps=0), ValueError, "steps is 0"),
        (lambda m: m.perceive(WIDE, "depth", steps=1.5), ValueError, "steps is 1.5"),
        (lambda m: m.perceive(WIDE, "depth", seed=-1), ValueError, "seed is -1"),
        (lambda m: m.generate("a cube", seed=2**31), ValueError, "from 0 to 2147483647"),
        (lambda m: m.generate("a cube", text_guidance=np.nan), ValueError, "text_guidance is nan"),
        (lambda m: m.generate("a cube", text_guidance=np.inf), ValueError, "text_guidance is inf"),
        (lambda m: m.generate("a cube", text_guidance="4"), ValueError, "text_guidance is '4'"),
        (lambda m: m.perceive(WIDE, "depth", text_guidance=0), ValueError, "finite .* above 0"),
        (lambda m: m.edit(WIDE, "turn it", reference_guidance=-1), ValueError, "of 0 or more"),
        (lambda m: m.perceive(WIDE, "depth", solver="rk4"), ValueError, "euler, heun"),
        (lambda m: m.perceive(WIDE, "depth", solver="eulr"), ValueError, "did you mean euler"),
        (lambda m: m.perceive(WIDE, "depth", shape=(8, 12)), ValueError, r"multiples of 8 up to"),
        (lambda m: m.generate("a cube", shape=(0, 8)), ValueError, r"shape is \(0, 8\)"),
        (lambda m: m.edit(WIDE, "turn it", shape=(2**20, 8)), ValueError, r"give \(height, width"),
        (lambda m: m.generate("a cube", shape=64), ValueError, "shape is 64"),
        (lambda m: m.generate("a cube", shape="64"), ValueError, "shape is '64'"),
        (lambda m: m.edit(WIDE, None), ValueError, "prompt None is no text: say what to change"),
        (lambda m: m.edit(WIDE, [None]), ValueError, "prompt None is no text: say what to change"),
        (lambda m: m.generate(None), ValueError, "prompt None is no text: say what to draw"),
        (lambda m: m.generate([5]), ValueError, "prompt 5 is no text: say what to draw"),
        (lambda m: m.generate(b"a cube"), ValueError, "prompt b'a cube' is no text"),
        (lambda m: m.perceive(WIDE, ["depth", 5]), ValueError, "prompt 5 is no text"),
        (lambda m: m.perceive(WIDE, "a cube", task=5), ValueError, "task is 5; it must be one of"),
        (lambda m: vb.load(None), ValueError, "checkpoint is None; give pocket, a folder"),
        (lambda m: vb.load(5), ValueError, "checkpoint is 5"),
        (lambda m: vb.load(b"pocket"), ValueError, "checkpoint is b'pocket'"),
        (lambda m: vb.load(""), ValueError, "checkpoint is ''"),
        (lambda m: m.perceive(WIDE, "generate"), ValueError, "words alone"),
        (lambda m: m.edit((WIDE,) * 3, "make it blue"), ValueError, "two at most"),
    ],
)  # fmt: skip
def test_mistakes(nano, ask_it, error, says):
    with pytest.raises(error, match=says):
        ask_it(nano)


def test_the_ends_of_seed_and_guidance_are_let_in(nano):
    answer = nano.edit(WIDE, "make it blue", seed=2**31 - 1, reference_guidance=0)
    assert answer.seed == 2147483647 and np.isfinite(answer.rgb).all()


def test_a_checkpoint_is_a_path_too(tmp_path):
    write(tmp_path / "nano")
    assert vb.load(tmp_path / "nano").size == SIZE


def test_a_picture_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(WIDE).save(tmp_path / "photo.png")
    np.testing.assert_array_equal(images.to_rgb("~/photo.png"), images.to_rgb(WIDE))
    assert images.is_folder("~")
    with pytest.raises(FileNotFoundError, match=r"there is no picture file ~/absent\.png"):
        images.to_rgb("~/absent.png")


def test_a_bucket_says_what_its_client_is_installed_with(monkeypatch):
    def absent(*args, **kwargs):
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr("fsspec.filesystem", absent)
    with pytest.raises(ValueError, match=r"Please install gcsfs; .* 'vision-banana\[gcs\]'"):
        vb.load("gs://bucket/weights")


def test_importing_is_light_and_touches_no_device():
    code = (
        "import sys, vision_banana as vb\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules\n"
        "assert 'load' in dir(vb)\n"
        "vb.load, vb.Depth\n"  # imports everything; a device could not be found
        "try: vb.lod\n"
        "except AttributeError as error: print(error)\n"
    )
    environment = os.environ | {"JAX_PLATFORMS": "nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.strip() == "module 'vision_banana' has no attribute 'lod'", done.stderr
