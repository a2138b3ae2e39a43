import numpy as np
import pytest

from vision_banana.metrics import depth

TRUTH = np.array([[[1, 2], [4, 0]], [[2, 0], [0, 0]]], np.float32)
PREDICTION = np.array([[[1.2, 2], [5, 3]], [[2.6, 1], [1, 1]]], np.float32)


def _score(*updates, min_m=0.0, max_m=10.0, **options):
    metric = depth.depth_errors(min_m, max_m, **options)
    state = metric.init()
    for update in updates:
        state = metric.update(state, *update)
    return metric.compute(state)


def _row(*values):
    return np.array([values], np.float64)


def test_means_inside_pictures_then_over_pictures():
    scores = _score((PREDICTION, TRUTH))
    assert scores["delta1"] == pytest.approx(1 / 3)  # 5 / 4 = 1.25 fails; pooled: 0.5
    assert scores["AbsRel"] == pytest.approx(0.225)  # pooled: 0.1875


def test_clamp_to_the_cap():
    pair = (_row(14), _row(9))
    unclamped, clamped = _score(pair, clamp=False), _score(pair)
    assert (unclamped["delta1"], clamped["delta1"]) == (0, 1)
    assert unclamped["AbsRel"] == pytest.approx(5 / 9)
    assert clamped["AbsRel"] == pytest.approx(1 / 9)


def test_deltas_are_strict_powers():
    # Ratios 1.25, 1.5625, 1.953125 exactly, and 2.
    scores = _score((_row(1.25, 1.5625, 1.953125, 0.5), _row(1, 1, 1, 1)))
    assert [scores[f"delta{k}"] for k in (1, 2, 3)] == [0, 0.25, 0.5]


def test_other_errors_by_hand():
    # Differences 1 and -2, ln ratios ln 2 and -ln 2, so their mean is 0.
    scores = _score((_row(2, 2), _row(1, 4)))
    assert scores["AbsRel"] == pytest.approx((1 + 0.5) / 2)
    assert scores["RMSE"] == pytest.approx(np.sqrt((1 + 4) / 2))
    assert scores["log10"] == pytest.approx(0.30103, abs=1e-6)
    assert scores["SILog"] == pytest.approx(0.693147, abs=1e-6)
    # A common factor leaves SILog alone.
    assert _score((_row(2, 4, 6), _row(1, 2, 3)))["SILog"] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("align", depth.ALIGNMENTS)
def test_alignment_of_scale(align):
    # p = 2 g: every alignment finds the factor, metric numbers do not.
    scores = _score((_row(2, 4, 6), _row(1, 2, 3)), align=align, clamp=False)
    assert scores["delta1"] == (0 if align is None else 1)
    assert scores["AbsRel"] == pytest.approx(1 if align is None else 0, abs=1e-12)


def test_median_scales_and_does_not_shift():
    # p = g + 1 for g = 1, 2, 5: factor 2/3, so p = 4/3, 2, 4.
    pair = (_row(2, 3, 6), _row(1, 2, 5))
    assert _score(pair, align="median")["AbsRel"] == pytest.approx((1 / 3 + 0 + 1 / 5) / 3)
    assert _score(pair, align="least_squares")["AbsRel"] == pytest.approx(0, abs=1e-12)


def test_a_median_of_nothing_scales_nothing():
    # Zeros are clamped to 0.001 m; the one depth that is right stays so.
    scores = _score((_row(0, 0, 2), _row(1, 1, 2)), align="median")
    assert scores["AbsRel"] == pytest.approx((0.999 + 0.999 + 0) / 3)


def test_medians_of_depth_and_of_disparity():
    # Depth: medians 3 and 5/2, so p = 5/3, 10/3. Disparity: 3/8 and 5/8, so p = 6/5, 12/5.
    pair = (_row(2, 4), _row(1, 4))
    assert _score(pair, align="median")["AbsRel"] == pytest.approx((2 / 3 + 1 / 6) / 2)
    assert _score(pair, align="median_disparity")["AbsRel"] == pytest.approx((0.2 + 0.4) / 2)


def test_least_squares_of_depth_and_of_disparity():
    # 1 / p = 2 / g + 1/2 for g = 1, 2, 4: a straight line in disparity, not in depth, where
    # the slope is (41/45) / (61/3 / 112.5) and the line goes through the means 31/45 and 7/3.
    pair = (_row(2 / 5, 2 / 3, 1), _row(1, 2, 4))
    assert _score(pair, align="least_squares_disparity")["AbsRel"] == pytest.approx(0, abs=1e-12)
    slope = (41 / 45) / (61 / 3 / 112.5)
    line = [7 / 3 + slope * (p - 31 / 45) for p in (2 / 5, 2 / 3, 1)]
    by_hand = (abs(line[0] - 1) + abs(line[1] - 2) / 2 + abs(line[2] - 4) / 4) / 3
    found = _score(pair, align="least_squares")["AbsRel"]
    assert found == pytest.approx(by_hand, abs=1e-12)
    assert found == pytest.approx(0.0860655, abs=1e-6)


def test_disparity_of_nothing_or_less_is_infinitely_far():
    # Infinity is disparity 0 and is fitted. Disparities 1, 1/2, 0 against 1, 1/10, 1/10: slope
    # 9/10, shift -1/20, so 0.85, 0.4, -0.05: depths 20/17, 5/2 and infinity, clamped to 20.
    pair = (_row(1, 2, np.inf), _row(1, 10, 10))
    scores = _score(pair, align="least_squares_disparity", max_m=20)
    assert scores["AbsRel"] == pytest.approx((3 / 17 + 0.75 + 1) / 3)
    # A depth of 0 m has no disparity: the others are fitted, 1 / p = 1 / 2g, and it is clamped.
    pair = (_row(2, 4, 0), _row(1, 2, 1))
    scores = _score(pair, align="least_squares_disparity")
    assert scores["AbsRel"] == pytest.approx((0 + 0 + 0.999) / 3)


def test_alignment_looks_at_counted_pixels_only():
    pair = (_row(2, 4, 6, 9, 9, 9), _row(1, 2, 3, 0, 0, 50))
    for align in depth.ALIGNMENTS[1:]:
        assert _score(pair, align=align)["AbsRel"] == pytest.approx(0, abs=1e-12), align


def _by_the_formula(p, g):
    """One picture's errors in plain NumPy, in the order of NAMES."""
    ratio, log = np.maximum(p / g, g / p), np.log(p / g)
    return [
        *(np.mean(ratio < t) for t in (1.25, 1.5625, 1.953125)),
        np.mean(np.abs(p - g) / g),
        np.mean((p - g) ** 2) ** 0.5,
        np.mean(np.abs(np.log10(p / g))),
        (np.mean(log**2) - np.mean(log) ** 2) ** 0.5,
    ]


@pytest.mark.parametrize("align", depth.ALIGNMENTS)
def test_a_thousand_pictures_by_the_formula(align):
    rng = np.random.default_rng(2)
    truth = rng.uniform(0, 12, (1000, 5, 6)).astype(np.float32)
    drawn = (0.2 + truth * rng.uniform(0.6, 1.5, truth.shape)).astype(np.float32)
    valid = rng.random(truth.shape) < 0.8
    expected = np.zeros(7)
    for p, g, v in zip(drawn.astype(np.float64), truth.astype(np.float64), valid, strict=True):
        v = v & (g > 0.5) & (g < 10)
        p, g = p[v], g[v]
        if align == "median":
            p = p * np.median(g) / np.median(p)
        elif align == "median_disparity":
            p = 1 / (1 / p * np.median(1 / g) / np.median(1 / p))
        elif align == "least_squares":
            p = np.polyval(np.polyfit(p, g, 1), p)
        elif align == "least_squares_disparity":
            disparity = np.polyval(np.polyfit(1 / p, 1 / g, 1), 1 / p)
            p = np.where(disparity > 0, 1 / disparity, np.inf)
        expected += _by_the_formula(np.clip(p, 0.5, 10), g)
    metric = depth.depth_errors(0.5, 10, align=align)
    scores = metric.compute(metric.update(metric.init(), drawn, truth, valid=valid))
    np.testing.assert_allclose(list(scores.values()), expected / 1000, atol=1e-9)


def test_alignment_comes_before_the_clamp_and_ignores_infinity():
    # Clamping first would make 20, 40 into 10, 10; infinity takes no part in the fit.
    prediction = _row(20, 40, np.inf)
    scores = _score((prediction, _row(1, 2, 9)), align="median", max_m=10)
    # Medians 30 and 1.5 over the finite: factor 1/20; the infinite one is clamped to 10.
    assert scores["AbsRel"] == pytest.approx((0 + 0 + 1 / 9) / 3)


def test_range_is_open_and_sky_and_unknown_are_not_counted():
    truth = _row(0, 0.1, 1, 10, 11, np.inf, np.nan)
    metric = depth.depth_errors(0.1, 10)
    state = metric.update(metric.init(), np.full_like(truth, 1.0), truth)
    assert metric.compute(state)["AbsRel"] == 0
    state = metric.update(metric.init(), truth, truth, valid=truth != 1)
    assert (state.pictures, state.empty) == (0, 1)


def test_pictures_without_valid_pixels_are_counted_aside():
    metric = depth.depth_errors(0, 10)
    state = metric.update(metric.init(), PREDICTION, TRUTH)
    state = metric.update(state, PREDICTION, np.zeros_like(TRUTH))
    assert (state.pictures, state.empty) == (2, 2)
    assert metric.compute(state)["AbsRel"] == pytest.approx(0.225)
    assert np.isnan(metric.compute(metric.init())["delta1"])


def test_bad_predictions_never_pass():
    for value in (-1.0, 0.0, np.nan, np.inf):
        assert _score((_row(value), _row(1)), clamp=False)["delta1"] == 0, value
        clamped = _score((_row(value), _row(1)))
        assert clamped["delta1"] == 0 and np.isfinite(list(clamped.values())).all(), value


def test_same_in_any_batching_and_padding():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 12, (6, 4, 5))
    prediction = truth * rng.uniform(0.6, 1.5, truth.shape)
    metric = depth.depth_errors(0.5, 10)
    whole = metric.compute(metric.update(metric.init(), prediction, truth))
    state = metric.init()
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        one = metric.update(metric.init(), prediction[part], truth[part])
        state = metric.merge(one, state)
    assert metric.compute(state) == pytest.approx(whole)
    wide = [np.pad(x, ((0, 0), (1, 2), (3, 0)), constant_values=3) for x in (prediction, truth)]
    inside = np.pad(np.ones_like(truth, bool), ((0, 0), (1, 2), (3, 0)))
    padded = metric.update(metric.init(), *wide, valid=inside)
    assert metric.compute(padded) == pytest.approx(whole)


def test_errors():
    with pytest.raises(ValueError, match="align='log'"):
        depth.depth_errors(0, 10, align="log")
    with pytest.raises(ValueError, match="min_m"):
        depth.depth_errors(10, 10)
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(1, 1\)"):
        _score((_row(1, 2), _row(1)))
