import krippendorff
import numpy as np
import pytest
from scipy import stats

from vision_banana.metrics import preference


def _score(votes, valid=None, **options):
    metric = preference.pairwise_win_rate(**options)
    return metric.compute(metric.update(metric.init(), np.array(votes), valid))


# One vote a pair: 45 wins, 20 ties, 35 losses.
ONE_EACH = np.repeat([1, 0, -1], [45, 20, 35])[:, None]


def test_ties_split_dropped_and_lost():
    scores = _score(ONE_EACH)
    assert scores["win_rate"] == pytest.approx(0.55)
    assert scores["win_rate_ties_dropped"] == pytest.approx(0.5625)
    assert scores["win_rate_ties_lost"] == pytest.approx(0.45)
    assert scores["ties"] == pytest.approx(0.2)
    assert _score(-ONE_EACH)["win_rate"] == pytest.approx(0.45)


@pytest.mark.parametrize("confidence", [0.95, 0.8])
@pytest.mark.parametrize("wins", [0, 3, 55, 100])
def test_interval_of_single_votes_is_wilsons(wins, confidence):
    scores = _score(np.repeat([1, -1], [wins, 100 - wins])[:, None], confidence=confidence)
    wilson = stats.binomtest(wins, 100).proportion_ci(confidence, method="wilson")
    assert scores["win_rate_low"] == pytest.approx(wilson.low, abs=1e-12)
    assert scores["win_rate_high"] == pytest.approx(wilson.high, abs=1e-12)


def test_interval_by_hand():
    # z = 1.959964, 55 of 100: (0.55 + 0.019207 -+ 0.099383) / 1.038415.
    scores = _score(np.repeat([1, -1], [55, 45])[:, None])
    assert scores["win_rate_low"] == pytest.approx(0.452446, abs=1e-6)
    assert scores["win_rate_high"] == pytest.approx(0.643854, abs=1e-6)


def test_votes_on_one_pair_are_not_independent():
    # Three raters who always agree know no more than one; three who do not know more than one.
    one = np.repeat([1, -1], [55, 45])[:, None]
    alone, agreed = _score(one), _score(np.repeat(one, 3, 1))
    bounds = ("win_rate", "win_rate_low", "win_rate_high")
    assert [agreed[b] for b in bounds] == pytest.approx([alone[b] for b in bounds])
    # Scores 2/3 and 1/3 in turn: variance 1/36, effective size 0.25 / (1/36) * 100 = 900, of
    # which there are 300.
    split = _score([[1, 1, -1], [-1, 1, -1]] * 50)
    wilson = stats.binomtest(150, 300).proportion_ci(method="wilson")
    assert split["win_rate_low"] == pytest.approx(wilson.low, abs=1e-12)
    # Scores 1 and 1/3 in turn: variance 1/9, rate 2/3, effective size (2/9) / (1/9) * 90 = 180.
    some = _score([[1, 1, 1], [-1, 1, -1]] * 45)
    wilson = stats.binomtest(120, 180).proportion_ci(method="wilson")
    assert some["win_rate_low"] == pytest.approx(wilson.low, abs=1e-12)
    assert some["win_rate_high"] == pytest.approx(wilson.high, abs=1e-12)
    assert _score([[0]] * 100)["win_rate_low"] == pytest.approx(
        stats.binomtest(50, 100).proportion_ci(method="wilson").low
    )


def test_raters_who_agree_on_everything_are_one_observation_a_pair():
    # Wilson's bound of 10 of 10 is 1 / (1 + z^2 / 10) with z^2 = 3.841459; of 30 it is 0.886.
    scores = _score(np.ones((10, 3), int))
    assert scores["win_rate_low"] == pytest.approx(1 / 1.3841459, abs=1e-6)
    assert scores["win_rate_high"] == pytest.approx(1)


def test_the_interval_covers_the_truth():
    # Raters lean by the pair: with 40 pairs of 3 votes, 19 of 20 intervals hold the true rate.
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(500):
        lean = rng.beta(1.2, 0.8, (40, 1))  # mean 0.6
        scores = _score(np.where(rng.random((40, 3)) < lean, 1, -1))
        hits += scores["win_rate_low"] <= 0.6 <= scores["win_rate_high"]
    assert 0.92 * 500 <= hits <= 0.98 * 500


def test_alpha_by_hand():
    # Coincidences: (1, 1) 2, (1, -1) 1, (-1, 1) 1, (-1, -1) 2, and a vote that nobody repeats:
    # 1 - (6 - 1) * 2 / (36 - 9 - 9).
    votes = [[1, 1], [1, -1], [-1, -1], [0, 7]]
    valid = np.array([[1, 1], [1, 1], [1, 1], [1, 0]], bool)
    assert _score(votes, valid)["alpha"] == pytest.approx(4 / 9)
    assert _score([[1, 1], [-1, -1]])["alpha"] == 1
    assert _score([[1, -1], [-1, 1]])["alpha"] == pytest.approx(1 - 3 * 4 / 8)
    assert np.isnan(_score([[1, 1], [1, 1]])["alpha"])
    assert np.isnan(_score(ONE_EACH)["alpha"])


def test_alpha_is_krippendorffs():
    rng = np.random.default_rng(1)
    for _ in range(20):
        true = rng.integers(-1, 2, (30, 1))
        votes = np.where(rng.random((30, 5)) < 0.5, true, rng.integers(-1, 2, (30, 5)))
        valid = rng.random((30, 5)) < 0.6
        known = np.where(valid, votes, np.nan).T
        expected = krippendorff.alpha(known, level_of_measurement="nominal")
        assert _score(votes, valid)["alpha"] == pytest.approx(expected, abs=1e-9)


def test_each_pair_weighs_the_same():
    # Three raters prefer ours once; one rater prefers theirs once.
    valid = np.array([[1, 1, 1], [1, 0, 0]], bool)
    assert _score([[1, 1, 1], [-1, 0, 0]], valid)["win_rate"] == 0.5


def test_pairs_without_votes_count_nowhere():
    metric = preference.pairwise_win_rate()
    votes = [[1, 0], [9, 9]]
    state = metric.update(metric.init(), votes, [[True, True], [False, False]])
    assert (state.pairs, state.votes) == (1, 2)
    assert metric.compute(state)["win_rate"] == 0.75
    nothing = metric.compute(metric.init())
    assert list(nothing) == list(metric.compute(state)) and np.isnan(list(nothing.values())).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"vote 2 is unknown"):
        _score([[1, 2]])
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(1, 3\)"):
        _score([[1, 0]], np.ones((1, 3), bool))
    with pytest.raises(ValueError, match=r"confidence=95"):
        preference.pairwise_win_rate(confidence=95)
