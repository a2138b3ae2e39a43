import clean_pictures
import jax.numpy as jnp
import numpy as np
import pytest
import sequential_instances
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from vision_banana.tasks import (
    colors,
    flatness,
    instance_colors,
    instance_decoder,
    instance_regions,
    instance_segmentation,
)
from vision_banana.tasks.task import Example

SIZE, BATCH = 64, 40  # one shape for most tests: compiling takes longer than running
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def decode_u8(pictures, backgrounds=(0, 0, 0)):
    """Decodes any number of (64, 64, 3) pictures of 8-bit colours; ids and confidence."""
    pictures = np.asarray(pictures)
    backgrounds = np.broadcast_to(backgrounds, (len(pictures), 3))
    ids, confidence = [], []
    for start in range(0, len(pictures), BATCH):
        part = np.zeros((BATCH, SIZE, SIZE, 3), np.float32)
        base = np.zeros((BATCH, 3), np.float32)
        n = len(pictures[start : start + BATCH])
        part[:n] = pictures[start : start + BATCH] / np.float32(255)
        base[:n] = backgrounds[start : start + BATCH] / np.float32(255)
        found = instance_decoder.decode(part, base)
        ids.append(np.asarray(found[0])[:n])
        confidence.append(np.asarray(found[1])[:n])
    return np.concatenate(ids), np.concatenate(confidence)


def paint(*boxes, size=SIZE, background=(0, 0, 0)):
    """A flat picture of (y, x, height, width, colour)."""
    picture = np.full((size, size, 3), background, np.uint8)
    for y, x, height, width, color in boxes:
        picture[y : y + height, x : x + width] = color
    return picture


def downsample(picture, truth):
    """2x box filter; the truth by majority, the instance where both have half."""
    half = len(truth) // 2
    small = picture.reshape(half, 2, half, 2, 3).mean((1, 3)).round()
    votes = truth.reshape(half, 2, half, 2).transpose(0, 2, 1, 3).reshape(half, half, 4)
    return small, np.sort(votes, -1)[..., 2]


def test_equals_the_sequential_decoder_on_1000_clean_pictures():
    rng = np.random.default_rng(0)
    pictures, backgrounds = zip(
        *(clean_pictures.clean_picture(rng, SIZE) for _ in range(1000)), strict=True
    )
    ids, _ = decode_u8(pictures, backgrounds)
    wrong = []
    counts = []
    for i in range(1000):
        expected = sequential_instances.decode(pictures[i], backgrounds[i])
        counts.append(expected.max())
        if (ids[i] != expected).any():
            wrong.append(i)
    assert wrong == []
    assert np.mean(counts) > 3 and max(counts) > 8  # the pictures hold something


@pytest.mark.parametrize("sigma, least", [(0, 1.0), (4, 0.97), (8, 0.95)])
def test_noise_costs_neither_instances_nor_iou(sigma, least):
    rng = np.random.default_rng(1)
    pictures, truths = zip(*(clean_pictures.discs(rng, SIZE) for _ in range(40)), strict=True)
    noisy = np.clip(np.round(pictures + rng.normal(0, sigma, np.shape(pictures))), 0, 255)
    ids, confidence = decode_u8(noisy)
    assert [i.max() for i in ids] == [12] * 40
    assert min(map(clean_pictures.worst_iou, ids, truths)) >= least
    assert confidence.min() >= 0 and confidence.max() <= 1


def test_noise_defeats_the_sequential_decoder():
    """Otherwise the pictures above would ask for nothing."""
    rng = np.random.default_rng(1)
    picture, truth = clean_pictures.discs(rng, SIZE)
    noisy = np.clip(np.round(picture + rng.normal(0, 8, picture.shape)), 0, 255)
    ids = sequential_instances.decode(noisy.astype(np.uint8), (0, 0, 0))
    assert ids.max() != 12 or clean_pictures.worst_iou(ids, truth) < 0.9


def test_antialiased_borders_are_no_instances():
    rng = np.random.default_rng(2)
    pictures, truths = zip(
        *(downsample(*clean_pictures.discs(rng, 2 * SIZE)) for _ in range(40)), strict=True
    )
    ids, _ = decode_u8(pictures)
    assert [i.max() for i in ids] == [12] * 40
    assert min(map(clean_pictures.worst_iou, ids, truths)) >= 0.97


def test_large_pictures_noise_and_the_rule_for_small_components():
    """224 px: 2e-4 of the area is 10.03 pixels, so 3 x 3 falls and 3 x 4 stays."""
    rng = np.random.default_rng(3)
    small = paint((9, 9, 3, 3, RED), (30, 30, 3, 4, GREEN), size=224)
    assert sequential_instances.decode(small, (0, 0, 0)).sum() == 12
    noisy, truth = clean_pictures.discs(rng, 224, apart=40)
    noisy = np.clip(np.round(noisy + rng.normal(0, 8, noisy.shape)), 0, 255)
    soft, soft_truth = downsample(*clean_pictures.discs(rng, 448, apart=40))
    ids, _ = instance_decoder.decode(np.stack([small, noisy, soft]) / 255, np.zeros(3))
    ids = np.asarray(ids)
    assert ids[0].sum() == 12 and ids[0, 30, 30] == 1 and ids[0, 9, 9] == 0
    assert ids[1].max() == ids[2].max() == 12
    assert clean_pictures.worst_iou(ids[1], truth) >= 0.95
    assert clean_pictures.worst_iou(ids[2], soft_truth) >= 0.97


def test_hand_made_pictures():
    strict = paint((4, 4, 20, 20, (0, 0, 13)), (40, 40, 20, 20, (0, 0, 14)))
    cut = paint((10, 4, 20, 50, RED), (4, 26, 40, 6, BLUE))  # red in two parts, one instance
    # Boxes of 5 x 5: joint 14 x 18 = 252 > 5 x 50; one column nearer, 14 x 17 = 238 <= 250.
    far = paint((4, 4, 5, 5, RED), (13, 17, 5, 5, RED))
    near = paint((4, 4, 5, 5, RED), (13, 16, 5, 5, RED))
    gap = paint((4, 4, 3, 3, RED), (8, 8, 3, 3, RED))  # (2, 2) apart: not 16-connected
    halo = paint((20, 20, 20, 20, GREEN), (21, 21, 18, 18, RED))
    ids, confidence = decode_u8([strict, cut, far, near, gap, halo])
    assert ids[0, 10, 10] == 0 and ids[0, 50, 50] == 1
    assert ids[1, 15, 10] == ids[1, 15, 50] == 1 and ids[1, 15, 28] == 2
    assert ids[2, 5, 5] == 1 and ids[2, 14, 18] == 2  # equal areas: by the first pixel
    assert ids[3, 5, 5] == ids[3, 14, 18] == 1
    assert ids[4].max() == 1  # merged by the box rule
    assert ids[5, 20, 20] == 0 and ids[5, 30, 30] == 1
    assert confidence[5, 20, 20] < 0.2 and confidence[5, 30, 30] == 1.0


def test_a_clean_picture_is_exact_beside_noisy_ones():
    rng = np.random.default_rng(4)
    halo = paint((20, 20, 20, 20, GREEN), (21, 21, 18, 18, RED))
    # So many borders that the picture looks noisy: smoothing would round the block's corners off.
    stripes = [(0, x, SIZE, 1, (RED, BLUE)[x % 2]) for x in range(40)]
    busy = paint(*stripes, (20, 44, 5, 5, GREEN))
    noise = rng.integers(0, 256, (3, SIZE, SIZE, 3))
    ids, _ = decode_u8([halo, busy, *noise])
    assert (ids[0] == sequential_instances.decode(halo, (0, 0, 0))).all()
    assert (ids[1] == sequential_instances.decode(busy, (0, 0, 0))).all()
    assert ids[1].sum() == 25


def test_drifting_colours_and_blurred_borders():
    """What a generator draws: colours that drift by several grey levels, soft borders."""
    rng = np.random.default_rng(5)
    pictures, counts = [], []
    for _ in range(40):
        picture, truth = clean_pictures.discs(rng, SIZE, background=(88, 50, 82))
        drift = ndimage.gaussian_filter(rng.normal(size=picture.shape), (10, 10, 0))
        picture = ndimage.gaussian_filter(picture + 5 * drift / drift.std(), (0.6, 0.6, 0))
        pictures.append(np.clip(np.round(picture + rng.normal(0, 2, picture.shape)), 0, 255))
        counts.append(truth.max())
    ids, _ = decode_u8(pictures, (88, 50, 82))
    right = [i.max() == n for i, n in zip(ids, counts, strict=True)]
    assert np.mean(right) >= 0.9


def test_pieces_of_an_instance_whose_colour_drifts_are_one():
    """Neighbouring pieces some 20 grey levels apart are one instance, 45 apart are two."""
    rng = np.random.default_rng(6)
    pieces = [paint((10, 10, 20, 20, (200, 90, 60)), (10, 30, 20, 20, (200 - d, 90, 60)))
              for d in (20, 45)]  # fmt: skip
    patch = [paint((10, 10, 20, 20, (d, 0, 20)), (40, 40, 12, 12, GREEN)) for d in (25, 60)]
    flat = np.stack([*pieces, *patch])
    noisy = np.clip(np.round(flat + rng.normal(0, 1.5, flat.shape)), 0, 255)
    ids, _ = decode_u8(noisy)
    assert [i.max() for i in ids] == [1, 2, 1, 2]
    # What drifts from the background is background; the rest keeps its pixels.
    assert (ids[2, 10:30, 10:30] == 0).all() and (ids[0, 10:30, 10:50] == 1).mean() > 0.97
    # Where colours are exact, they are meant: the paper's tolerance holds.
    assert [i.max() for i in decode_u8(flat)[0]] == [2, 2, 2, 2]


def test_a_blurred_border_is_no_instance():
    """Borders over three to four pixels hold thin flat bands; noise cuts them in pieces."""
    rng = np.random.default_rng(7)
    pictures, counts = [], []
    for _ in range(40):
        ids = np.zeros((SIZE, SIZE), int)
        for i in (1, 2, 3):
            ids[clean_pictures.disc(SIZE, *rng.integers(8, 56, 2), rng.uniform(6, 12))] = i
        ids = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
        drawn = instance_colors.place(ids, ids.max())
        picture = np.concatenate([np.zeros((1, 3)), drawn])[ids]
        picture = ndimage.gaussian_filter(picture, (0.9, 0.9, 0))
        pictures.append(np.clip(np.round(picture + rng.normal(0, 4, picture.shape)), 0, 255))
        counts.append(ids.max())
    found = [i.max() for i in decode_u8(pictures)[0]]
    assert np.mean(np.array(found) == counts) >= 0.9


def test_beyond_the_bound_the_largest_stay():
    picture = paint((1, 1, 3, 3, RED), (8, 8, 5, 5, GREEN), (8, 0, 4, 4, BLUE), size=16)
    # Leading dimensions are free, and one background serves all.
    ids, confidence = instance_segmentation.decode(
        jnp.asarray(picture)[None, None] / 255, jnp.zeros(3), max_instances=2
    )
    assert ids.shape == (1, 1, 16, 16) and ids.dtype == jnp.int32
    assert [int(ids[0, 0, y, y]) for y in (2, 10)] == [0, 1] and ids[0, 0, 9, 1] == 2
    assert confidence[0, 0, 2, 2] == 0 and confidence[0, 0, 0, 0] == 1
    with pytest.raises(ValueError, match="max_instances=0"):
        instance_segmentation.decode(jnp.zeros((4, 4, 3)), jnp.zeros(3), max_instances=0)
    with pytest.raises(ValueError, match=r"\(0, 4, 3\)"):
        instance_segmentation.decode(jnp.zeros((0, 4, 3)), jnp.zeros(3))


def test_median_equals_scipy():
    x = np.random.default_rng(0).random((3, 2, 9, 11)).astype(np.float32)
    expected = ndimage.median_filter(x, size=(1, 1, 3, 3), mode="nearest")
    assert (np.asarray(flatness.median(x)) == expected).all()


def test_noise_level_of_a_grey_picture():
    x = 128 + np.random.default_rng(0).normal(0, 5, (3, 2, 64, 64)).astype(np.float32)
    assert np.allclose(flatness.noise_level(jnp.asarray(x)), 5, rtol=0.1)


def test_constants_of_the_paper():
    constants = (flatness.TAU, instance_regions.MIN_AREA, instance_regions.GAMMA)
    assert constants == (14.0, 2e-4, 5.0) and instance_regions.MIN_ERODED_INVERSE == 10
    assert colors.MIN_DISTANCE == instance_colors.TAU == 14.0


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
@settings(deadline=None, max_examples=60)
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
    asked = [example(random_ids(rng, 4), valid=valid) for _ in range(BATCH)]
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
