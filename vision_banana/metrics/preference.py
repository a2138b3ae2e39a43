"""Which of two generators people prefer, how surely, and whether the people agree."""

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from vision_banana.metrics.metric import Metric

VOTES = (1, 0, -1)  # ours is preferred, a tie, theirs is preferred


class PreferenceState(NamedTuple):
    """Sums over pairs of pictures that have a vote.

    Attributes:
      shares: (3,) sum of the shares of a pair's votes in the order of VOTES.
      squares: sum of the squared scores of pairs, a score being wins + half the ties.
      pairs: how many pairs.
      votes: how many votes.
      coincidences: (3, 3) Krippendorff's coincidence matrix.
    """

    shares: np.ndarray
    squares: np.ndarray
    pairs: np.ndarray
    votes: np.ndarray
    coincidences: np.ndarray


def pairwise_win_rate(confidence: float = 0.95) -> Metric:
    """Returns the win rate of "ours" against "theirs" with its interval, and raters' agreement.

    `update(state, votes, valid=None)`: votes (..., R) int, of one pair of pictures all R votes
    together: 1 where ours is preferred, 0 for a tie, -1 where theirs is. `valid`, bool of the
    same shape, leaves out missing votes; a pair without a vote counts nowhere.

    The votes of a pair are averaged, then the pairs, so that a pair with more raters weighs no
    more:

    - win_rate: wins + half the ties (two generators' rates sum to 1); win_rate_low and
      win_rate_high bound it.
    - win_rate_ties_dropped: wins / (wins + losses); win_rate_ties_lost: wins alone.
    - ties: share of ties.
    - alpha: Krippendorff's alpha for nominal data (Krippendorff 2011, "Computing Krippendorff's
      Alpha-Reliability", section C), from pairs with two votes or more: 1 for raters who agree, 0
      for chance; NaN where nobody rated twice or all votes are the same.

    The interval is Wilson's (1927), and its number of observations the effective sample size
    (Korn and Graubard 1998) of votes that come in pairs: win_rate (1 - win_rate) / variance of
    the mean over pairs, at most the number of votes. With one vote a pair and no ties it is the
    ordinary Wilson interval.

    Raises ValueError for a confidence outside (0, 1), another vote than 1, 0 and -1, or shapes
    that differ.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"pairwise_win_rate: confidence={confidence} must lie between 0 and 1")

    def init() -> PreferenceState:
        none = np.zeros((), np.int64)
        return PreferenceState(np.zeros(3), np.zeros(()), none, none, np.zeros((3, 3)))

    def update(state: PreferenceState, votes: Any, valid: Any = None) -> PreferenceState:
        votes = np.asarray(votes)
        known = np.ones(votes.shape, bool) if valid is None else np.asarray(valid, bool)
        if known.shape != votes.shape or not votes.ndim:
            raise ValueError(
                f"pairwise_win_rate: votes has shape {votes.shape} and valid {known.shape}; both "
                "must be (..., R), the votes of a pair in a row"
            )
        is_vote = votes[..., None] == np.array(VOTES)
        odd = known & ~is_vote.any(-1)
        if odd.any():
            raise ValueError(
                f"pairwise_win_rate: vote {votes[odd].flat[0]} is unknown; write 1 where ours is "
                "preferred, 0 for a tie, -1 where theirs is, and mark missing votes in `valid`"
            )
        counts = (is_vote & known[..., None]).sum(-2).reshape(-1, 3)
        counts = counts[counts.sum(1) > 0].astype(np.float64)
        raters = counts.sum(1)
        shares = counts / raters[:, None]
        several = counts[raters > 1]
        # Ordered pairs of votes of different raters on one pair of pictures.
        both = several[:, :, None] * several[:, None] - several[:, :, None] * np.eye(3)
        coincidences = (both / (several.sum(1) - 1)[:, None, None]).sum(0)
        squares = ((shares[:, 0] + shares[:, 1] / 2) ** 2).sum()
        pairs, total = (np.asarray(n, np.int64) for n in (len(counts), counts.sum()))
        return merge(state, PreferenceState(shares.sum(0), squares, pairs, total, coincidences))

    def merge(a: PreferenceState, b: PreferenceState) -> PreferenceState:
        return PreferenceState(*(x + y for x, y in zip(a, b, strict=True)))

    def compute(state: PreferenceState) -> dict[str, float]:
        if not state.pairs:
            names = ("win_rate", "win_rate_low", "win_rate_high", "win_rate_ties_dropped",
                     "win_rate_ties_lost", "ties", "alpha")  # fmt: skip
            return dict.fromkeys(names, float("nan"))
        wins, ties, losses = (float(x) for x in state.shares / state.pairs)
        rate = wins + ties / 2
        low, high = _interval(state, rate, confidence)
        return {
            "win_rate": rate,
            "win_rate_low": low,
            "win_rate_high": high,
            "win_rate_ties_dropped": wins / (wins + losses) if wins + losses else float("nan"),
            "win_rate_ties_lost": wins,
            "ties": ties,
            "alpha": _alpha(state.coincidences),
        }

    return Metric(init, update, merge, compute)


def _interval(state: PreferenceState, rate: float, confidence: float) -> tuple[float, float]:
    """Returns Wilson's interval at the effective sample size; see `pairwise_win_rate`."""
    pairs, votes = float(state.pairs), float(state.votes)
    coin = rate * (1 - rate)
    variance = (float(state.squares) / pairs - rate**2) / pairs
    # Without any spread: raters who all agree on everything are one observation a pair.
    n = min(votes, coin / max(variance, 1e-300)) if coin else pairs
    z = float(special.ndtri(0.5 + confidence / 2))
    middle = rate + z**2 / (2 * n)
    half = z * (coin / n + z**2 / (4 * n**2)) ** 0.5
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def _alpha(coincidences: np.ndarray) -> float:
    """Returns 1 - observed / expected disagreement from a coincidence matrix."""
    totals = coincidences.sum(0)
    count = totals.sum()
    observed = count - np.trace(coincidences)
    expected = count**2 - (totals**2).sum()
    return float(1 - (count - 1) * observed / expected) if expected > 0 else float("nan")
