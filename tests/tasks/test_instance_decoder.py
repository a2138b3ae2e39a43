import clean_pictures
import jax.numpy as jnp
import numpy as np
import pytest
import sequential_instances
from scipy import ndimage

from vision_banana.tasks import (
    colors,
    flatness,
    instance_colors,
    instance_decoder,
    instance_regions,
    instance_segmentation,
)

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
    with pytest.raises(ValueError, match=r"\(4096, 2049, 3\); give at most 2\^23 pixels"):
        instance_segmentation.decode(np.zeros((4096, 2049, 3), np.uint8), jnp.zeros(3))


def test_beyond_all_candidates_nothing_is_sure():
    # 225 squares on black, each of a colour of its own.
    picture = np.zeros((240, 240, 3), np.uint8)
    for y, x in np.ndindex(15, 15):
        picture[16 * y + 2 : 16 * y + 12, 16 * x + 2 : 16 * x + 12] = (17 * y, 17 * x, 40)
    ids, confidence = instance_segmentation.decode(
        jnp.asarray(picture)[None] / 255, jnp.zeros(3), max_instances=64
    )
    drawn = picture.any(-1)
    assert len(np.unique(ids)) == 65
    assert (np.asarray(confidence[0])[drawn & (np.asarray(ids[0]) == 0)] == 0).all()
    assert (np.asarray(confidence[0])[~drawn] == 1).all()


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
