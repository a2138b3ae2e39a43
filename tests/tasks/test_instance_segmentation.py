import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_banana.tasks import colors, instance_colors, instance_segmentation
from vision_banana.tasks.task import Example

# Colours


def test_colours_tell_the_centroid():
    ids = np.zeros((64, 64), int)
    ids[0:16, 0:16] = 1  # centroid (1/8, 1/8), a sixteenth of the picture: 2^-4
    ids[40:56, 24:40] = 2  # centroid (1/2, 3/4)
    # 20 + 215/8 = 46.9, 235 - 107.5/4 = 208.1; size (7.5 - 4)/6 = 0.583, offset 24/6 = 4 along
    # (1, 1, 2)/sqrt(6): + (1.6, 1.6, 3.3).
    assert instance_colors.place(ids, 2).tolist() == [[49, 49, 211], [129, 183, 104]]


def random_ids(rng, count):
    ids = np.zeros((64, 64), int)
    for i in range(1, count + 1):
        y, x = rng.integers(0, 60, 2)
        ids[y : y + rng.integers(4, 20), x : x + rng.integers(4, 20)] = i
    return np.unique(ids, return_inverse=True)[1].reshape(ids.shape)


@pytest.mark.parametrize("count", [2, 8, 40])
def test_colours_lie_apart_whatever_the_order(count):
    rng = np.random.default_rng(count)
    for background in ((0, 0, 0), (88, 50, 82), (128, 128, 128)):
        ids = random_ids(rng, count)
        n = ids.max()
        placed = instance_colors.place(ids, n, np.array(background))
        both = np.concatenate([[background], placed])
        distance = np.linalg.norm(both[:, None] - both[None], axis=-1) + 999 * np.eye(n + 1)
        assert distance.min() >= (38 if count <= 8 else 28)
        order = rng.permutation(n)
        renumbered = np.append(0, np.argsort(order) + 1)[ids]
        if count == 8:
            again = instance_colors.place(renumbered, n, np.array(background))
            assert np.abs(again - placed[order]).max() <= 1


def test_colours_of_a_crowd_in_a_corner():
    """Too many for one corner of the cube: those that pushing leaves too near find room."""
    ids = np.zeros((64, 64), int)
    ids[:10, :20] = np.arange(1, 201).reshape(10, 20)
    placed = instance_colors.place(ids, 200)
    distance = np.linalg.norm(placed[:, None] - placed[None], axis=-1) + 999 * np.eye(200)
    assert distance.min() >= 28 and np.linalg.norm(placed, axis=-1).min() >= 28


def test_encode_by_hand_and_its_errors():
    ids = np.array([[0, 1], [2, 0]])
    table = np.array([[1, 0, 0], [0, 0.5, 1]])
    rgb = instance_segmentation.encode(ids, (0, 0, 0), table)
    assert rgb.dtype == np.float32 and rgb.shape == (2, 2, 3)
    assert rgb.tolist() == [[[0, 0, 0], [1, 0, 0]], [[0, 0.5, 1], [0, 0, 0]]]
    both = instance_segmentation.encode(np.stack([ids, 0 * ids]), np.eye(3)[:2], table)
    assert (both[1] == [0, 1, 0]).all() and both[0, 1, 1].tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="from 0 to 2 and there are 1 colors"):
        instance_segmentation.encode(ids, (0, 0, 0), table[:1])
    with pytest.raises(ValueError, match=r"background has values outside"):
        instance_segmentation.encode(ids, (0, 0, 255), table)


# The task


def example(ids, phrase="red cube", valid=None, key="scenes/7"):
    ids = np.asarray(ids, np.int32)
    valid = np.ones(ids.shape, bool) if valid is None else valid
    picture = np.zeros((*ids.shape, 3), np.float32)
    return Example("instance_segmentation", key, (picture,), ids, valid, {"phrase": phrase})


def test_what_is_written_is_what_is_read():
    rng = np.random.default_rng(0)
    asked = example(random_ids(rng, 3))
    seen = set()
    for _ in range(300):
        text = instance_segmentation.prompt(asked, rng)
        background = instance_segmentation.read_background(text)
        seen.add(background)
        assert "red cube" in text
        if "ackground" in text:
            written = [
                colors.write_color(background, notation)
                for notation in ("rgb", "tuple", "angle", "hex")
            ]
            named = colors.name_of(background)
            assert any(w in text for w in (*written, named) if w)
            assert instance_colors.is_apart(np.array(background))
        else:
            assert background == (0, 0, 0)
    assert (0, 0, 0) in seen and (255, 255, 255) in seen and len(seen) > 10


@pytest.mark.parametrize(
    "text, background",
    [
        (
            "Each piece of garlic is colored differently. Background is RGB(88, 50, 82).",
            (88, 50, 82),
        ),
        ("Segment each red cube in a different color.", (0, 0, 0)),
        ("Segment each person in the background in a different color.", (0, 0, 0)),
        ("Color each dog differently. The background is white.", (255, 255, 255)),
        ("Color each dog differently. Background: #80C000.", (128, 192, 0)),
        ("Color each dog differently\nThe background colour is white", (255, 255, 255)),
        ("Segment each dog! the background stays (128, 192, 0); thank you", (128, 192, 0)),
        ("Each dog whose background is blurry is colored differently.", (0, 0, 0)),
        ("Instance segmentation of every dog on a white background.", (0, 0, 0)),
        ("Each cat is colored differently, and the background is white.", (255, 255, 255)),
        ("Segment each cat and the background is white.", (255, 255, 255)),
        ("Color each dog differently on a light blue background.", (173, 216, 230)),
        ("On a (1, 2, 3) background, color each dog differently.", (1, 2, 3)),
        ("Color each dog differently. Background (255,255,255).", (255, 255, 255)),
        ("Color each dog differently. Background RGB(88, 50, 82).", (88, 50, 82)),
        ("Color each dog differently. Everything else is white.", (255, 255, 255)),
        ("Color each dog differently. The background should be white.", (255, 255, 255)),
        ("Color each dog differently. Background in white.", (255, 255, 255)),
        ("Color each dog differently. Make the background white.", (255, 255, 255)),
        ("Instance segmentation of every dog, white background", (255, 255, 255)),
        ("Segment each man and the background in this photo.", (0, 0, 0)),
        ("Color each man in red in the background differently.", (0, 0, 0)),
        ("The rest of the garlic is colored differently.", (0, 0, 0)),
        ("Segment each cat. The remaining pixels are white.", (255, 255, 255)),
        ("Segment each cat. All other pixels are white.", (255, 255, 255)),
        ("Segment each cat. The rest of the pixels is white.", (255, 255, 255)),
        ("Segment each cat. The remainder of the picture should be white.", (255, 255, 255)),
        ("Segment each cat. Paint all of the other areas white.", (255, 255, 255)),
        ("Segment each cat. bg: white", (255, 255, 255)),
        ("Segment each cat, backdrop white", (255, 255, 255)),
        ("Segment each cat; white elsewhere", (255, 255, 255)),
        ("Color each cat differently on a white backdrop.", (255, 255, 255)),
        ("Segment each cat and others with hats.", (0, 0, 0)),
        ("A photo of a red barn. Look closely at the white one. Segment each cat.", (0, 0, 0)),
    ],
)
def test_backgrounds_of_prompts(text, background):
    assert instance_segmentation.read_background(text) == background


PHRASES = (
    "person in the background",
    "dog on a white background",
    "dog whose background is blurry",
    "background",
    "red background: left half",
    "the background is white sign",
    "man in a red shirt and everything else",
)


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_that_speaks_of_a_background_states_none(phrase):
    """With every wording and every background, drawn anew as votes do: the phrase stays."""
    rng = np.random.default_rng(0)
    for question in instance_segmentation.QUESTIONS:
        asked = question.format(phrase)
        assert instance_segmentation.read_background(asked) == (0, 0, 0)
        for stated in instance_segmentation.BACKGROUNDS:
            for notation in ("rgb", "tuple", "angle", "hex", "name"):
                written = stated.format(colors.write_color((255, 0, 255), notation))
                text = f"{asked} {written}"
                assert instance_segmentation.read_background(text) == (255, 0, 255)
                assert instance_segmentation.again(text, rng).startswith(asked)


@given(
    st.integers(0, 10**6),
    st.sampled_from(PHRASES),
    st.sampled_from(
        ("", ".", "! Background is white.", "\nBackground: white", ", and the background is white.")
    ),
)
@settings(max_examples=60)
def test_the_background_that_a_vote_writes_is_the_one_that_is_read(seed, phrase, end):
    rng = np.random.default_rng(seed)
    asked = f"Segment each {phrase}"
    text = instance_segmentation.again(f"{asked}{end}", rng)
    assert text.startswith(asked)
    background = instance_segmentation.read_background(text)
    if text.strip(".!") == asked:
        assert background == (0, 0, 0)
    else:
        written = [colors.write_color(background, n) for n in ("rgb", "tuple", "angle", "hex")]
        assert any(w in text for w in (*written, colors.name_of(background)) if w)


def test_prompts_that_cannot_be_read():
    with pytest.raises(ValueError, match="empty"):
        instance_segmentation.read_background(" ")
    with pytest.raises(ValueError, match="blurple"):
        instance_segmentation.read_background("Color each dog. Background is blurple.")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("Background in blurple.", "no background colour can be read in 'Background in blurple.'"),
        ("The background should be bluee.", "'bluee'; the nearest valid names are blue"),
        ("Use white for the background.", "no background colour can be read"),
        ("On a bluee background.", "'bluee'; the nearest valid names are blue"),
        ("The background is not white.", "says which colour something has not"),
        ("The background must never be white.", "says which colour something has not"),
        ("The remaining pixels aren't white.", "says which colour something has not"),
        ("The background is white and the sky is blue.", "no background colour can be read"),
        ("Background: white, background: red.", "no background colour can be read"),
        ("Everything but the dogs is white.", "the colour in 'Everything but the dogs is white.'"),
        (
            "Behind them all is (1, 2, 3).",
            r"the colour in 'Behind them all is \(1, 2, 3\).' is not",
        ),
        ("Background: white. All else is red.", r"the backgrounds \[\(255, 0, 0\), \(255, 255"),
    ],
)
def test_a_background_that_is_stated_and_not_read_is_refused(stated, message):
    with pytest.raises(ValueError, match=message):
        instance_segmentation.read_background(f"Color each dog differently. {stated}")


def test_drawn_and_read_back():
    rng = np.random.default_rng(6)
    valid = np.ones((64, 64), bool)
    valid[:, :3] = False
    asked = [example(random_ids(rng, 4), valid=valid) for _ in range(40)]
    prompts = [instance_segmentation.prompt(e, rng) for e in asked]
    drawn = [instance_segmentation.draw(e, p, rng) for e, p in zip(asked, prompts, strict=True)]
    assert all((rgb[~valid] == 0.5).all() and (w == valid).all() for rgb, w in drawn)
    again, _ = instance_segmentation.draw(asked[0], prompts[0], np.random.default_rng(99))
    assert (again == drawn[0][0]).all()  # nothing random: one step can predict it
    answer = instance_segmentation.read(np.stack([rgb for rgb, _ in drawn]), prompts)
    scores = instance_segmentation.metric()
    value = scores.compute(scores.update(scores.init(), answer, asked))
    assert value["F1"] >= 0.95
    wrong = instance_segmentation.error(answer, 0, asked[0])
    assert np.isnan(wrong[~valid]).all() and np.nanmean(wrong) < 0.1
    shown = instance_segmentation.picture(answer, 0)
    assert shown.shape == (64, 64, 3) and len(np.unique(shown.reshape(-1, 3), axis=0)) >= 3


def test_blind_and_metric_by_hand():
    same = np.zeros((16, 16), int)
    same[4:12, 4:12] = 1
    other = np.zeros((16, 16), int)
    other[0:6, 0:6] = 1
    whole = np.ones((16, 16), int)  # one in four: a low threshold would take all of the picture
    examples = [example(x, "cube") for x in (same, same, same, whole)]
    examples.append(example(other, "ball"))
    answer = instance_segmentation.blind(examples)([*examples, example(same, "cone")])
    assert (answer["ids"][0] == same).all() and (answer["ids"][4] == other).all()
    scores = instance_segmentation.metric()
    unseen = {"ids": answer["ids"][5:]}  # a phrase never seen: the map of all, most of it `same`
    state = scores.update(scores.init(), unseen, [example(same, "cone")])
    assert scores.compute(state)["F1"] == 1.0
    half = {"ids": np.where(np.arange(16) < 8, same, 0)[None]}  # IoU exactly 0.5
    less = {"ids": np.where(np.arange(16) < 7, same, 0)[None]}
    hit = scores.update(scores.init(), half, examples[:1])
    assert scores.compute(hit)["F1"] == 1.0
    miss = scores.update(scores.init(), less, examples[:1])
    assert scores.compute(miss)["F1"] == 0.0
    assert scores.compute(scores.merge(hit, miss))["F1"] == 0.5
    with pytest.raises(ValueError, match="no training examples"):
        instance_segmentation.blind([])


def test_metric_pairs_pictures_and_leaves_the_unknown_out():
    # 24 pixels are asked for, 23 are not; the second picture's instance lies elsewhere.
    first, second, small = np.zeros((3, 8, 8), int)
    first[:3] = 1
    second[5:] = 1
    small[0] = 1
    small[1:3, :7] = 1
    small[3, 0] = 1
    known = np.ones((8, 8), bool)
    known[6:] = False
    drawn = np.stack([first, second, small])
    scores = instance_segmentation.metric()
    asked = [example(x) for x in drawn]
    state = scores.update(scores.init(), {"ids": drawn}, asked)
    assert (state.tp, state.fp, state.fn) == (2, 0, 0)
    # Of the second 8 pixels are known, of what is drawn for it 8 are right.
    asked = [example(first), example(second, valid=known)]
    state = scores.update(scores.init(), {"ids": drawn[:2]}, asked)
    assert (state.tp, state.fp, state.fn) == (1, 0, 0)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "Color each cube and each red sphere differently.",
            {"cube": "Color each cube differently.",
             "red sphere": "Color each red sphere differently."},
        ),
        (
            "Instance segmentation. Each cube that is red, every dog, and each black and white cat "
            "has its own color. The background is white.",
            {name: f"Instance segmentation. {each} {name} has its own color. The background is "
             "white." for each, name in (("Each", "cube that is red"), ("Every", "dog"),
                                         ("Each", "black and white cat"))},
        ),
        (
            "Segment this image, each big, old car & each of the vans: in a different color",
            {"big, old car": "Segment this image, each big, old car: in a different color",
             "vans": "Segment this image, each of the vans: in a different color"},
        ),
        (
            "Color each cube and each sphere, background white.",
            {"cube": "Color each cube, background white.",
             "sphere": "Color each sphere, background white."},
        ),
        (
            "Each cube is colored differently and each sphere is colored differently.",
            {"cube": "Each cube is colored differently.",
             "sphere": "Each sphere is colored differently."},
        ),
        ("color every person, every dog its own color",
         {"person": "color every person its own color", "dog": "color every dog its own color"}),
        ("Segment each cat. Each instance has its own color.", {}),
        ("Segment every dog, each in its own color.", {}),
        ("Segment every dog, each of them in a different color, and each one on black.", {}),
        ("Find each dog and color each instance differently.", {}),
        (
            "Segment each man and every dog, each colored differently.",
            {"man": "Segment each man, each colored differently.",
             "dog": "Segment every dog, each colored differently."},
        ),
        ("Segment each black and white cat in a different color.", {}),
        ("Each object is colored differently, and the background is white.", {}),
    ],
)  # fmt: skip
def test_several_phrases_are_asked_for_one_by_one(text, parts):
    assert instance_segmentation.phrases(text) == tuple(parts)
    assert instance_segmentation.apart(text) == list(parts.values())
    for part in parts.values():
        whole, alone = (instance_segmentation.read_background(x) for x in (text, part))
        assert whole == alone


def test_every_written_question_asks_for_one_phrase():
    for form in instance_segmentation.QUESTIONS:
        for background in ("", " Background is white."):
            assert instance_segmentation.apart(form.format("red cube") + background) == []


def test_instances_of_several_phrases_are_merged_surest_first():
    cubes = np.array([[1, 1, 1, 1, 0, 0, 2, 2]])
    cones = np.array([[0, 0, 1, 1, 1, 3, 3, 0]])
    answers = [
        {"ids": cubes[None], "confidence": np.array([[[0.9] * 4 + [0.8] * 2 + [0.5] * 2]])},
        {"ids": cones[None], "confidence": np.array([[[0.7] * 8]])},
    ]
    found = instance_segmentation.joined("Color each cube and each cone differently.", answers)
    # Cube 1 is the surest; cone 1 loses two of its three pixels to it, so it goes. Cube 2 loses
    # one of two to cone 3: that is half and no more, so it stays.
    assert found["ids"].tolist() == [[[1, 1, 1, 1, 0, 2, 2, 3]]]
    assert found["names"] == [("cube", "cone", "cube")]
    np.testing.assert_allclose(found["confidence"][0, 0], [0.9] * 4 + [0.7] * 3 + [0.5])
