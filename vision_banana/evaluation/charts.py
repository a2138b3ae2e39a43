"""Loss curves as inline SVG, drawn from a run's metric records."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Okabe and Ito's colours, which colour-blind people can tell apart, less their yellow.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5195", "#8c6d31")
TOTAL_COLOR = "#222222"

_WIDTH, _HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 22, 10, 40


def loss_chart(records: Sequence[Mapping[str, float]]) -> str:
    """A chart of the loss and the tasks' losses over steps, with a logarithmic loss axis.

    Args:
      records: lines of `metrics.jsonl`: {"step": 20, "loss": 0.3, "loss/depth": 0.2, ...}; a
        record may lack any of them.

    Returns:
      An `<svg>` and a legend as HTML, or a sentence where there is nothing to draw.
    """
    series = _series(records)
    if not series:
        return '<p class="quiet">No losses were recorded.</p>'
    steps = np.concatenate([s for s, _ in series.values()])
    losses = np.concatenate([v for _, v in series.values()])
    x0, x1 = float(steps.min()), float(max(steps.max(), steps.min() + 1))
    y0, y1 = math.log10(losses.min()), math.log10(losses.max())
    y0, y1 = y0 - 0.05, max(y1, y0 + 0.2) + 0.05

    def x(step: Any) -> Any:
        return _LEFT + (step - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT)

    def y(loss: Any) -> Any:
        return _TOP + (y1 - np.log10(loss)) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="loss over training steps">'
    ]
    for loss in _loss_ticks(y0, y1):
        at = float(y(loss))
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{loss:g}</text>'
        )
    for step in round_ticks(x0, x1):
        at = float(x(step))
        parts.append(
            f'<text x="{at:.1f}" y="{_HEIGHT - 22}" text-anchor="middle">{step:,.0f}</text>'
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">'
        "training step</text>"
    )
    colors = dict(zip((n for n in series if n != "loss"), COLORS * 4, strict=False))
    colors["loss"] = TOTAL_COLOR
    for name, (s, v) in sorted(series.items(), key=lambda item: item[0] == "loss"):
        width = 2.4 if name == "loss" else 1.4
        parts += [_line(x(s), y(v), colors[name], 0.7, 0.25)] if len(s) > 40 else []
        parts.append(_line(x(s), y(_running_mean(v)), colors[name], width, 1.0))
    return "".join(parts) + "</svg>" + _legend(series, colors)


def _series(records: Sequence[Mapping[str, float]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    names = sorted({k for r in records for k in r if k == "loss" or k.startswith("loss/")})
    series = {}
    for name in names:
        pairs = [(r["step"], r[name]) for r in records if name in r]
        kept = [(s, v) for s, v in pairs if math.isfinite(v) and v > 0]
        if kept:
            series[name] = tuple(np.array(kept, np.float64).T)
    return series


def _running_mean(values: np.ndarray) -> np.ndarray:
    """A centred mean over a fortieth of the run, shorter at the ends."""
    reach = len(values) // 80
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _line(x: np.ndarray, y: np.ndarray, color: str, width: float, opacity: float) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}" '
        f'stroke-opacity="{opacity}" stroke-linejoin="round"/>'
    )


def _loss_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten between 10^low and 10^high, powers alone over a wide range."""
    factors = (1, 2, 5) if high - low < 2.5 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [f * 10.0**p for p in powers for f in factors]
    return [t for t in ticks if low <= math.log10(t) <= high]


def round_ticks(low: float, high: float) -> np.ndarray:
    """Four to eight round numbers between two."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    gap = power * next(f for f in (1, 2, 5, 10) if f * power >= rough * 0.75)
    return np.arange(math.ceil(low / gap) * gap, high + gap * 1e-6, gap)


def _legend(series: Mapping[str, tuple[np.ndarray, np.ndarray]], colors: Mapping[str, str]) -> str:
    items = []
    for name, (_, v) in series.items():
        label = "all" if name == "loss" else name.removeprefix("loss/").replace("_", " ")
        items.append(
            f'<li><i style="background:{colors[name]}"></i>{html.escape(label)} '
            f"<b>{_running_mean(v)[-1]:.3g}</b></li>"
        )
    return f'<ul class="legend">{"".join(items)}</ul>'
