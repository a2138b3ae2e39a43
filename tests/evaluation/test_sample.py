import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exit_codes import exit_code
from PIL import Image

from vision_banana import sample
from vision_banana.api import saving
from vision_banana.data import language, scenes
from vision_banana.evaluation import figure, own_pictures, photographs, questions
from vision_banana.evaluation.own_pictures import QuestionSet
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
    config = {"model": MODEL, "data": {"size": SIZE}, "time": {"shift": 1.0}, "seed": 0}
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
        "depth": "depth_m", "surface_normals": "normals", "semantic_segmentation": "labels",
        "instance_segmentation": "ids", "referring_segmentation": "masks", "image_editing": "rgb",
    }  # fmt: skip
    for task in scenes.TASKS:
        if task == "image_generation":
            assert not (out / f"photo_{task}.npz").exists()
            continue
        (file,) = out.glob(f"photo_*{task}.npz")
        arrays, name = np.load(file), file.name.removesuffix(".npz")
        shape = arrays[keys[task]].shape
        assert (HEIGHT, WIDTH) in (shape[:2], shape[-2:]), (task, shape)
        assert arrays["confidence"].shape == (HEIGHT, WIDTH)
        assert arrays["steps"] == 1
        assert Image.open(out / f"{name}_rgb.png").size == (WIDTH, HEIGHT)
        assert Image.open(out / f"{name}.png").size[0] > 3 * WIDTH
        assert f"{task}: " in said
    metres = np.load(out / "photo_depth.npz")["depth_m"]
    saved = np.asarray(Image.open(out / "photo_depth_mm.png"))
    np.testing.assert_array_equal(saved, saving.millimetres(metres))
    at = metres[29, 49]
    words = "infinitely far" if np.isinf(at) else f"{at:.2f} m"
    assert f"at 49,29: {words}" in said
    assert "photo_depth_points.ply assumes a field of view of 60 degrees" in said
    assert (out / "photo_depth_points.ply").read_bytes().startswith(b"ply\n")
    assert all(path.name.startswith("photo_") for path in out.iterdir())  # not over another's


def test_generation_is_reproducible(folder):
    def drawn(name, *more, begins="a_red_cube_seed_0_"):
        # In one step the picture would not depend on the noise.
        arguments = ("--prompt", "a red cube", "--steps", "3", *more)
        arguments += ("--output", str(folder / name))
        assert command(folder, *arguments, image=None) == 0
        return np.asarray(Image.open(folder / name / f"{begins}image_generation_rgb.png"))

    first = drawn("g1")
    assert first.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(first, drawn("g2"))
    assert (first != drawn("g1", "--seed", "1", begins="a_red_cube_seed_1_")).any()
    kept = np.asarray(Image.open(folder / "g1" / "a_red_cube_seed_0_image_generation_rgb.png"))
    np.testing.assert_array_equal(kept, first)  # not over the earlier picture


def test_an_edit_lies_beside_the_edits_before_it(folder, monkeypatch, tmp_path):
    fake_drawing(monkeypatch, np.zeros((SIZE, SIZE, 3), np.float32))
    Image.new("RGB", (5, 5)).save(tmp_path / "beach.png")
    for more in (
        ["--prompt", "make the cube blue"],
        ["--prompt", "remove the sphere"],
        ["--prompt", "remove the sphere", "--seed", "1"],
        ["--image", str(tmp_path / "beach.png")],
    ):
        arguments = ["--task", "image_editing", "--output", str(tmp_path / "out"), *more]
        assert command(folder, *arguments) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.npz")} == {
        "photo_make_the_cube_blue_seed_0_image_editing.npz",
        "photo_remove_the_sphere_seed_0_image_editing.npz",
        "photo_remove_the_sphere_seed_1_image_editing.npz",
        "photo_beach_give_the_background_of_the_second_picture_to_the_first_seed_0"
        "_image_editing.npz",
    }


@pytest.mark.parametrize(
    ("files", "begins"),
    [
        ("photo.jpg a.jpg", "photo_ a_"),
        ("photo.jpg photo.png", "photo.jpg_ photo.png_"),
        ("photo.jpg photo.png photo.jpg.webp", "1_photo.jpg_ 2_photo.png_ 3_photo.jpg_"),
        ("../a/photo.jpg ../b/photo.jpg", "a_photo.jpg_ b_photo.jpg_"),
        ("/a/photo.jpg b/photo.jpg", "a_photo.jpg_ b_photo.jpg_"),
        ("a/b/x.jpg a_b/x.jpg", "1_a_b_x.jpg_ 2_a_b_x.jpg_"),
    ],
)
def test_no_two_pictures_share_a_name(files, begins):
    assert [row.begins for row in sample._pictures([], files.split())] == begins.split()


def test_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/x")
    arguments = sample.parser().parse_args(["--workdir=~/run", "--output=~/answers"])
    assert (arguments.workdir, arguments.output) == ("/home/x/run", "/home/x/answers")


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
        (["--prompt", " "], "photo.png", "is empty: say what to ask"),
        (["--prompt", " "], None, "is empty: say what to draw"),
        (["--prompt", "the chair"], "photo.png", "task is not clear from 'the chair'; give task"),
        (["--prompt", "a red cube " * 30], None, "at most 64"),
        (["--task", "depth"], "broken.png", "broken.png is truncated"),
        (["--task", "depth"], "absent.png", "absent.png: give the path of a picture"),
        (["--task", "depth", "--image", "https://a.b/c.png"], None, "c.png is not fetched"),
        (["--task", "depth", "--image", "ftp://a.b/c.png"], None, "c.png is not fetched"),
        (
            ["--task", "depth", "--image", "tests/absent.png"],
            "photo.png",
            "there is no picture file tests/absent.png",
        ),
        (
            ["--task", "depth", "--image", f"{photographs.FOLDER}/kitchen.jpg"],
            "photo.png",
            "depth looks at one picture; 2 were given",
        ),
        (["--task", "depth"], None, "give one"),
        (["--task", "image_generation"], "photo.png", "words alone"),
        ([], None, "nothing is asked"),
        (["--task", "depth", "--at", "50,0"], "photo.png", "x from 0 to 49 and y from 0 to 29"),
        (["--task", "depth", "--at", "7"], "photo.png", "X,Y"),
        (["--task", "surface_normals", "--at", "1,1"], "photo.png", "add --task depth"),
        (["--task", "depth", "--steps", "0"], "photo.png", "steps"),
        (
            ["--task", "depth", "--step", "20"],
            "photo.png",
            "unrecognized arguments: --step 20; did you mean --steps",
        ),
        (["--task", "depth", "--votes", "0"], "photo.png", "votes is 0"),
        (["--task", "depth", "--seed", "2147483648"], "photo.png", "from 0 to 2147483647"),
        (["--task", "depth", "--text_guidance", "nan"], "photo.png", "text_guidance is nan"),
        (["--task", "depth", "--reference_guidance", "-1"], "photo.png", "reference_guidance is"),
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
    assert int(np.load(folder / "voted" / "photo_depth.npz")["votes"]) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("asked", "given", "steps", "weight"),
    [
        ("image_generation", [], 20, 4.0),
        ("image_generation", ["--steps", "3", "--text_guidance", "2"], 3, 2.0),
        ("image_editing", [], 1, 1.0),
        ("depth", [], 1, 1.0),
        ("depth", ["--text_guidance", "2"], 1, 2.0),
    ],
)
def test_steps_and_guidance_that_suit_the_task(
    folder, monkeypatch, tmp_path, asked, given, steps, weight
):
    rgb, seen = np.zeros((SIZE, SIZE, 3), np.float32), {}

    def build(model, **sampling):
        seen.update(sampling)
        return lambda params, key, batch: np.broadcast_to(rgb, (*batch["tokens"].shape[:2],
                                                                *rgb.shape))  # fmt: skip

    monkeypatch.setattr(own_pictures.predict, "build", build)
    image = None if asked == "image_generation" else "photo.png"
    assert command(folder, "--task", asked, "--output", str(tmp_path), *given, image=image) == 0
    assert (seen["steps"], seen["text_guidance"]) == (steps, weight)


def test_two_pictures_alone_ask_for_an_edit():
    assert [q.task for q in questions.everything(1)] == [
        t for t in TASKS if t in questions.DEFAULTS and t != "image_generation"
    ]
    assert questions.everything(2) == [Question("image_editing", questions.TWO_PICTURES)]
    with pytest.raises(ValueError, match="two at most"):
        questions.everything(3)


def test_a_task_without_a_question_of_its_own_needs_a_prompt(monkeypatch):
    monkeypatch.setitem(TASKS, "silhouette", TASKS["depth"]._replace(name="silhouette"))
    assert "silhouette" not in [q.task for q in questions.everything(1)]
    for prompt, task in ((None, "silhouette"), ("silhouette", None)):
        with pytest.raises(ValueError, match="silhouette has no question of its own: give a pr"):
            questions.choose(prompt, 1, task)
    assert questions.choose("silhouettes", 1, "silhouette") == ("silhouette", "silhouettes")


def test_a_folder_without_weights(folder, capsys):
    assert exit_code(sample.main, ["--workdir", str(folder / "none"), "--prompt", "a cube"]) == 2
    assert "trained" in capsys.readouterr().err


def fake_drawing(monkeypatch, rgb):
    """Lets the model draw a known picture for every prompt."""

    def build(model, **sampling):
        del model, sampling
        return lambda params, key, batch: np.broadcast_to(rgb, (*batch["tokens"].shape[:2],
                                                                *rgb.shape))  # fmt: skip

    monkeypatch.setattr(own_pictures.predict, "build", build)


def test_decode_first_then_resize(monkeypatch):
    # Near and far side by side: a mixture of their colours would be a third depth.
    fake_drawing(monkeypatch, depth.encode(np.array([[1.0, 30.0], [2.0, np.inf]])))
    asked = QuestionSet([Question("depth", "depth map")], [np.zeros((4, 6, 3))])
    ((reply,),) = own_pictures.ask(Generator(**MODEL), {}, [asked], shape=(2, 2))
    expected = np.repeat(np.repeat([[1.0, 30.0], [2.0, np.inf]], 2, axis=0), 3, axis=1)
    np.testing.assert_allclose(reply.answer["depth"][0], expected, rtol=1e-4)
    assert len(np.unique(reply.rgb.reshape(-1, 3), axis=0)) == 4
    assert reply.picture.shape == (4, 6, 3)
    assert "25% infinitely far" in figure.summary(reply)


def test_a_picture_of_the_sky_has_no_cloud(folder, monkeypatch, tmp_path, capsys):
    sky = depth.encode(np.full((SIZE, SIZE), np.inf))
    fake_drawing(monkeypatch, sky)
    assert command(folder, "--task", "depth", "--output", str(tmp_path)) == 0
    assert "100% infinitely far" in (said := capsys.readouterr().out) and "ply" not in said
    assert (tmp_path / "photo_depth.npz").exists() and not list(tmp_path.glob("*.ply"))


def test_labels_and_masks_keep_their_order(monkeypatch):
    red, blue = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    fake_drawing(monkeypatch, np.array([[red, blue], [red, red]], np.float32))
    prompt = '{"sphere": "blue", "cube": "red"}'
    tasks = ("semantic_segmentation", "referring_segmentation")
    asked = QuestionSet([Question(task, prompt) for task in tasks], [np.zeros((4, 2, 3))])
    ((semantic, referring),) = own_pictures.ask(Generator(**MODEL), {}, [asked], shape=(2, 2))
    assert semantic.answer["labels"][0].tolist() == [[1, 0], [1, 0], [1, 1], [1, 1]]
    sphere = referring.answer["masks"][0, 0]
    assert sphere.tolist() == [[False, True], [False, True], [False, False], [False, False]]
    assert "sphere 25%, cube 75%" in figure.summary(semantic)
    assert "sphere 25%, cube 75%" in figure.summary(referring)
    for reply in (semantic, referring):
        assert figure.compose(reply, [np.zeros((4, 2, 3))]).dtype == np.uint8


def test_edits_see_two_pictures_and_other_tasks_refuse_them(monkeypatch):
    batches = []

    def build(model, **sampling):
        del model, sampling

        def predict(params, key, batch):
            batches.append(batch)
            return np.zeros((*batch["tokens"].shape[:2], SIZE, SIZE, 3), np.float32)

        return predict

    monkeypatch.setattr(own_pictures.predict, "build", build)
    pictures = [np.zeros((8, 8, 3)), np.ones((20, 9, 3))]
    depth_map = Question("depth", "depth map")
    edit = Question("image_editing", questions.TWO_PICTURES)
    with pytest.raises(ValueError, match="depth looks at one picture; 2 were given"):
        own_pictures.ask(
            Generator(**MODEL), {}, [QuestionSet([edit, depth_map], pictures)], shape=(SIZE, SIZE)
        )
    assert not batches
    asked = [QuestionSet([depth_map], pictures[:1]), QuestionSet([edit], pictures)]
    replies = own_pictures.ask(Generator(**MODEL), {}, asked, shape=(SIZE, SIZE))
    assert [r.question.task for (r,) in replies] == ["depth", "image_editing"]
    seen = {}
    for batch in batches:
        for tokens, mask in zip(batch["tokens"], batch["reference_mask"], strict=True):
            seen[tokenizer.decode(tokens[0])] = mask[0].tolist()
    assert seen["depth map"][0] and not any(seen["depth map"][1:])
    assert seen[questions.TWO_PICTURES] == [True, True]


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
        ("Paint the cat red, the rest black", "referring_segmentation"),
        ("The area that corresponds to the man in pink t shirt is rendered solid white; "
         "the other man is rendered in green.", "referring_segmentation"),
        ("Segment this image: road: #804080, sky: blue", "semantic_segmentation"),
        ("make the red cube blue", "image_editing"),
        ("please remove the sphere", "image_editing"),
        ("paint the cube red", "image_editing"),
        ("turn it into a winter scene", "image_editing"),
        ("erase the man and his bag", "image_editing"),
        ("Segment this image: depth gauge: red, valve: blue", "referring_segmentation"),
        ("paint the normal cell red and the infected cell blue", "referring_segmentation"),
        ("place mat: red, plate: blue", "referring_segmentation"),
        ("turn signal: red, headlight: blue", "semantic_segmentation"),
        ("give way sign: red\nroad: blue", "referring_segmentation"),
        ("change the red cube to blue", "image_editing"),
        ("make the sky red and the grass blue", "image_editing"),
        ("change the colors: sky: red, grass: blue", "image_editing"),
        ("a depth map where near is red and far is blue", "depth"),
        ("surface normals: left is red, up is green", "surface_normals"),
        ("make the car a different color", "image_editing"),
        ("add depth of field", "image_editing"),
        ("change it back to normal", "image_editing"),
        ("could you remove the cube?", "image_editing"),
        ("how deep is the scene?", "depth"),
        ("make each car a different color", "instance_segmentation"),
        ("segment the depth gauge in red", "referring_segmentation"),
        ("Color the image with {'cat': red}", "referring_segmentation"),
        ("In this photo, make the cube blue", "image_editing"),
        ("In this picture turn the sky orange", "image_editing"),
        ("In the image make the cube blue", "image_editing"),
        ("Now make the cube blue", "image_editing"),
        ("then, please turn the cube red", "image_editing"),
        ("In this photo, remove the cube", "image_editing"),
        ("In the image, turn signal: red, headlight: blue", "semantic_segmentation"),
        ("add a shallow depth-of-field", "image_editing"),
        ("give it an in-depth look", "image_editing"),
    ],
)  # fmt: skip
def test_task_is_recognised(prompt, task):
    assert questions.recognise(prompt, 1) == task
    assert questions.recognise(prompt, 0) == "image_generation"


@pytest.mark.parametrize("prompt", ["the chair", "what is in this picture?", "more snow, please"])
def test_what_may_be_any_task_is_no_edit(prompt):
    with pytest.raises(ValueError, match=r"not clear from .*; give task=.* image_editing"):
        questions.choose(prompt, 1)
    assert questions.choose(prompt, 1, "image_editing") == Question("image_editing", prompt)
    assert questions.choose(prompt, 2) == Question("image_editing", prompt)  # nothing else sees two
    assert questions.choose(prompt, 0) == Question("image_generation", prompt)


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
    assert set(scenes.TASKS) <= set(questions.DEFAULTS)
    for task in questions.DEFAULTS:
        question = questions.default(task, 0 if task == "image_generation" else 1)
        own_pictures.check([question], 64, (SIZE, SIZE))
        assert questions.recognise(question.prompt, task != "image_generation") == task
    own_pictures.check([questions.default("image_editing", 2)], 64, (SIZE, SIZE))


def test_a_folder_is_asked_picture_by_picture(folder, capsys, tmp_path):
    shown = tmp_path / "album"
    shown.mkdir()
    for name in ("a.png", "b.png", "b.jpg", "d.ppm", "e.jfif"):
        Image.open(folder / "photo.png").resize((20, 10)).save(shown / name)
    (shown / "notes.txt").write_text("no picture")
    out = tmp_path / "out"
    asked = ["--task", "depth", "--output", str(out)]
    assert command(folder, *asked, image=shown) == 0
    names = {f"{begins}_depth.npz" for begins in ("a", "b.jpg", "b.png", "d", "e")}
    assert {path.name for path in out.glob("*.npz")} == names
    said = capsys.readouterr().out
    assert "b.jpg_depth_points.ply assumes" in said
    for name in ("a.png", "b.jpg", "b.png"):  # each block says which picture it is about
        assert f"\n{shown / name}\ndepth: " in said

    (shown / "c.png").write_bytes((folder / "broken.png").read_bytes())
    assert command(folder, *asked, image=shown) == 1
    error = capsys.readouterr().err
    assert "passed over" in error and "c.png" in error
    assert {path.name for path in out.glob("*.npz")} == names

    alone = tmp_path / "alone"
    alone.mkdir()
    (shown / "c.png").rename(alone / "c.png")
    assert command(folder, *asked, image=alone) == 1  # as in a folder of several
    error = capsys.readouterr().err
    assert "python -m vision_banana.sample: passed over: " in error and "c.png" in error

    assert command(folder, *asked, "--at", "1,1", image=shown) == 2
    assert "pixel of one picture" in capsys.readouterr().err
    assert command(folder, *asked, "--image", str(folder / "photo.png"), image=shown) == 2
    assert "give it alone" in capsys.readouterr().err
    assert command(folder, *asked, image="run") == 2
    assert "holds no pictures" in capsys.readouterr().err


def test_a_file_is_no_folder_for_answers(folder, capsys):
    taken = str(folder / "photo.png")
    assert command(folder, "--task", "depth", "--output", taken, image="photo.png") == 2
    assert f"{taken} cannot be made a folder for the answers" in capsys.readouterr().err


def test_several_pictures_are_asked_one_by_one(folder, capsys, tmp_path):
    others = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        others.append(str(tmp_path / name / "photo.png"))
        Image.open(folder / "photo.png").resize((20, 10)).save(others[-1])
    arguments = sample.parser().parse_args(
        ["--workdir", str(folder / "run"), "--task", "depth", "--output", str(tmp_path / "out")]
    )
    arguments.each = [str(folder / "broken.png"), *others]
    assert not sample.run(arguments)  # one cannot be read
    said = capsys.readouterr()
    assert all(f"\n{path}\ndepth: " in said.out for path in others)
    assert "broken.png" in said.err
    names = {path.name for path in (tmp_path / "out").glob("*.npz")}
    assert len(names) == 2 and all(name.endswith("_photo.png_depth.npz") for name in names)


def test_the_commands_cloud_is_thinned(folder, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sample, "POINTS", 100)
    assert command(folder, "--task", "depth", "--output", str(tmp_path)) == 0
    head = (tmp_path / "photo_depth_points.ply").read_bytes().split(b"end_header")[0].decode()
    points = int(head.split("element vertex ")[1].split()[0])
    assert 0 < points <= 104  # every fourth row and column of 30 x 50
    capsys.readouterr()
