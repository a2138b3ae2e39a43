import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exit_codes import exit_code
from PIL import Image

from vision_banana import sample
from vision_banana.api import saving
from vision_banana.data import language, scenes
from vision_banana.evaluation import figure, own_pictures, questions
from vision_banana.evaluation.own_pictures import Asked
from vision_banana.evaluation.questions import Question
from vision_banana.models.generator import Generator
from vision_banana.tasks import TASKS, depth
from vision_banana.text import tokenizer
from vision_banana.training import update_guard
from vision_banana.training.checkpoint import Checkpoints

SIZE = 16
WIDTH, HEIGHT = 50, 30  # of the picture that is asked about
MODEL = {"size": "tiny", "attention": "prefix", "text_length": 64, "dtype": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with random weights, and a picture."""
    folder = tmp_path_factory.mktemp("sample")
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(Generator(**MODEL).init, jax.random.key(0))
    params = jax.tree.map(lambda x: jnp.float32(rng.normal(0, 0.05, x.shape)), shapes)
    state = {"params": params, "ema": params, "opt_state": {}, "step": jnp.int32(7)}
    state["guard"] = update_guard.init()
    checkpoints = Checkpoints(str(folder / "run"))
    config = {"model": MODEL, "data": {"size": SIZE}, "seed": 0}
    checkpoints.save(state, {"config": config, "language": language.describe()})
    checkpoints.close()
    levels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(levels).save(folder / "photo.png")
    (folder / "broken.png").write_bytes((folder / "photo.png").read_bytes()[:200])
    return folder


def command(folder, *arguments, image="photo.png"):
    picture = ["--image", str(folder / image)] if image else []
    return exit_code(sample.main, ["--workdir", str(folder / "run"), *picture, *arguments])


def test_every_task_answers_at_the_pictures_own_size(folder, capsys):
    assert command(folder, "--at", "49,29", "--output", str(folder / "all")) == 0
    said = capsys.readouterr().out
    out = folder / "all"
    keys = {
        "depth": "depth", "surface_normals": "normals", "semantic_segmentation": "labels",
        "instance_segmentation": "ids", "referring_segmentation": "masks", "image_editing": "rgb",
    }  # fmt: skip
    for task in TASKS:
        if task == "image_generation":
            assert not (out / f"{task}.npz").exists()
            continue
        arrays = np.load(out / f"{task}.npz")
        shape = arrays[keys[task]].shape
        assert (HEIGHT, WIDTH) in (shape[:2], shape[-2:]), (task, shape)
        assert arrays["confidence"].shape == (HEIGHT, WIDTH)
        assert Image.open(out / f"{task}_rgb.png").size == (WIDTH, HEIGHT)
        assert Image.open(out / f"{task}.png").size[0] > 3 * WIDTH
        assert f"{task}: " in said
    metres = np.load(out / "depth.npz")["depth"]
    saved = np.asarray(Image.open(out / "depth_mm.png"))
    np.testing.assert_array_equal(saved, saving.millimetres(metres))
    at = metres[29, 49]
    words = "infinitely far" if np.isinf(at) else f"{at:.2f} m"
    assert f"at 49,29: {words}" in said
    assert "60 degrees" in said
    assert (out / "depth_points.ply").read_bytes().startswith(b"ply\n")


def test_generation_is_reproducible(folder):
    def drawn(name, *more):
        # In one step the picture would not depend on the noise.
        arguments = ("--prompt", "a red cube", "--steps", "3", *more)
        arguments += ("--output", str(folder / name))
        assert command(folder, *arguments, image=None) == 0
        return np.asarray(Image.open(folder / name / "image_generation_rgb.png"))

    first = drawn("g1")
    assert first.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(first, drawn("g2"))
    assert (first != drawn("g3", "--seed", "1")).any()


@pytest.mark.parametrize(
    ("arguments", "image", "says"),
    [
        (
            ["--task", "deph"],
            "photo.png",
            "did you mean 'depth'? It must be one of image_generation",
        ),
        (["--prompt", "segment the cube"], "photo.png", "no colour can be read"),
        (["--prompt", "cube: red, cone: #fe0000"], "photo.png", "nearly the same colour"),
        (["--prompt", "cube: rod, cone: blue"], "photo.png", "rod"),
        (["--prompt", " "], "photo.png", "empty"),
        (["--prompt", "a red cube " * 30], None, "at most 64"),
        (["--task", "depth"], "broken.png", "broken.png is truncated"),
        (["--task", "depth"], "absent.png", "absent.png"),
        (["--task", "depth"], None, "give one"),
        (["--task", "image_generation"], "photo.png", "words alone"),
        ([], None, "nothing is asked"),
        (["--task", "depth", "--at", "50,0"], "photo.png", "x from 0 to 49 and y from 0 to 29"),
        (["--task", "depth", "--at", "7"], "photo.png", "X,Y"),
        (["--task", "surface_normals", "--at", "1,1"], "photo.png", "add --task depth"),
        (["--task", "depth", "--steps", "0"], "photo.png", "steps"),
        (["--task", "depth", "--votes", "0"], "photo.png", "votes is 0"),
        (["--task", "depth", "--fov", "180"], "photo.png", "field of view"),
    ],
)
def test_mistakes_are_one_sentence_and_code_2(folder, capsys, arguments, image, says):
    assert command(folder, *arguments, image=image) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_votes(folder, capsys):
    arguments = ("--task", "depth", "--votes", "2", "--output", str(folder / "voted"))
    assert command(folder, *arguments) == 0
    assert int(np.load(folder / "voted" / "depth.npz")["votes"]) == 2
    capsys.readouterr()


def test_a_folder_without_weights(folder, capsys):
    assert exit_code(sample.main, ["--workdir", str(folder / "none"), "--prompt", "a cube"]) == 2
    assert "trained" in capsys.readouterr().err


def fake_drawing(monkeypatch, rgb):
    """Lets the model draw a known picture for every prompt."""

    def build(model, **sampling):
        del model, sampling
        return lambda params, key, batch: np.broadcast_to(rgb, (*batch["tokens"].shape[:2],
                                                                *rgb.shape))  # fmt: skip

    monkeypatch.setattr(own_pictures, "predictor", build)


def test_decode_first_then_resize(monkeypatch):
    # Near and far side by side: a mixture of their colours would be a third depth.
    fake_drawing(monkeypatch, depth.encode(np.array([[1.0, 30.0], [2.0, np.inf]])))
    asked = Asked([Question("depth", "depth map")], [np.zeros((4, 6, 3))])
    ((reply,),) = own_pictures.ask(Generator(**MODEL), {}, [asked], size=2)
    expected = np.repeat(np.repeat([[1.0, 30.0], [2.0, np.inf]], 2, axis=0), 3, axis=1)
    np.testing.assert_allclose(reply.answer["depth"][0], expected, rtol=1e-4)
    assert len(np.unique(reply.rgb.reshape(-1, 3), axis=0)) == 4
    assert reply.picture.shape == (4, 6, 3)
    assert "25% infinitely far" in figure.summary(reply)


def test_labels_and_masks_keep_their_order(monkeypatch):
    red, blue = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    fake_drawing(monkeypatch, np.array([[red, blue], [red, red]], np.float32))
    prompt = '{"sphere": "blue", "cube": "red"}'
    tasks = ("semantic_segmentation", "referring_segmentation")
    asked = Asked([Question(task, prompt) for task in tasks], [np.zeros((4, 2, 3))])
    ((semantic, referring),) = own_pictures.ask(Generator(**MODEL), {}, [asked], size=2)
    assert semantic.answer["labels"][0].tolist() == [[1, 0], [1, 0], [1, 1], [1, 1]]
    sphere = referring.answer["masks"][0, 0]
    assert sphere.tolist() == [[False, True], [False, True], [False, False], [False, False]]
    assert "sphere 25%, cube 75%" in figure.summary(semantic)
    assert "sphere 25%, cube 75%" in figure.summary(referring)
    for reply in (semantic, referring):
        assert figure.compose(reply, [np.zeros((4, 2, 3))]).dtype == np.uint8


def test_two_pictures_only_edits_see_the_second(monkeypatch):
    batches = []

    def build(model, **sampling):
        del model, sampling

        def predict(params, key, batch):
            batches.append(batch)
            return np.zeros((*batch["tokens"].shape[:2], SIZE, SIZE, 3), np.float32)

        return predict

    monkeypatch.setattr(own_pictures, "predictor", build)
    pictures = [np.zeros((8, 8, 3)), np.ones((20, 9, 3))]
    asked = [Question("depth", "depth map"), Question("image_editing", questions.TWO_PICTURES)]
    (replies,) = own_pictures.ask(Generator(**MODEL), {}, [Asked(asked, pictures)], size=SIZE)
    assert [r.question.task for r in replies] == ["depth", "image_editing"]
    (batch,) = batches
    seen = {}
    for tokens, mask in zip(batch["tokens"], batch["reference_mask"], strict=True):
        seen[tokenizer.decode(tokens[0])] = mask[0].tolist()
    assert seen == {"depth map": [True, False], questions.TWO_PICTURES: [True, True]}
    assert batch["references"].shape == (2, 2, SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("prompt", "task"),
    [
        ("Generate a depth map in viridis colors", "depth"),
        ("how far is everything?", "depth"),
        ("surface normals please", "surface_normals"),
        ("Generate an instance segmentation visualization of this image. "
         "Each piece of garlic is colored differently.", "instance_segmentation"),
        ("Color each cube differently. Background: black.", "instance_segmentation"),
        ("Paint the skateboard pure yellow <255,255,0>", "referring_segmentation"),
        ("The area that corresponds to the man in pink t shirt is rendered solid white; "
         "the other man is rendered in green.", "referring_segmentation"),
        ("Segment this image: road: #804080, sky: blue", "semantic_segmentation"),
        ("make the red cube blue", "image_editing"),
        ("please remove the sphere", "image_editing"),
        ("paint the cube red", "image_editing"),
        ("turn it into a winter scene", "image_editing"),
        ("more snow, please", "image_editing"),
    ],
)  # fmt: skip
def test_task_is_recognised(prompt, task):
    assert questions.recognise(prompt, 1) == task
    assert questions.recognise(prompt, 0) == "image_generation"


def test_training_prompts_are_recognised():
    source, wrong = scenes.Scenes("heldout", 16), []
    for name, task in TASKS.items():
        for index in range(25):
            try:
                example = source.example(index, name)
            except ValueError:
                continue
            prompt = task.prompt(example, np.random.default_rng((3, index)))
            found = questions.recognise(prompt, len(example.references))
            wrong += [(name, found, prompt)] if found != name else []
    # An instruction to paint one thing reads like a request for its region.
    assert all(prompt.lower().startswith("paint") for _, _, prompt in wrong), wrong
    assert len(wrong) <= 4


def test_default_questions_can_be_read_and_are_short():
    for task in TASKS:
        question = questions.default(task, 0 if task == "image_generation" else 1)
        own_pictures.check([question], 64, SIZE)
        assert questions.recognise(question.prompt, task != "image_generation") == task
    own_pictures.check([questions.default("image_editing", 2)], 64, SIZE)
