"""Loss curves as inline SVG, drawn from a run's metric records."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Okabe and Ito's colours, which colour-blind people can tell apart, less their yellow.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5195", "#8c6d31")
TOTAL_COLOR = "#222222"

_WIDTH, _HEIGHT = 960, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 22, 26, 40

Line = tuple[np.ndarray, np.ndarray]  # steps and losses


def loss_chart(phases: Sequence[tuple[str, Sequence[Mapping[str, float]]]]) -> str:
    """A chart of the loss and the tasks' losses over all steps, with a logarithmic loss axis.

    Args:
      phases: names and lines of `metrics.jsonl` of runs, each of which began where the one before
        ended: {"step": 20, "loss": 0.3, "loss/depth": 0.2, ...}; a record may lack any of them.
        They stand one behind the other, each marked with its name.

    Returns:
      An `<svg>` and a legend as HTML, or a sentence where there is nothing to draw.
    """
    ends = np.cumsum([max((r["step"] for r in records), default=0) for _, records in phases])
    starts = [0.0, *map(float, ends[:-1])]
    parts_of = _series([records for _, records in phases], starts)
    if not parts_of:
        return '<p class="quiet">No losses were recorded.</p>'
    losses = np.concatenate([v for parts in parts_of.values() for _, v in parts])
    x0, x1 = 0.0, float(ends[-1])
    y0, y1 = math.log10(losses.min()), math.log10(losses.max())
    y0, y1 = y0 - 0.05, max(y1, y0 + 0.2) + 0.05

    def x(step: Any) -> Any:
        return _LEFT + (step - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT)

    def y(loss: Any) -> Any:
        return _TOP + (y1 - np.log10(loss)) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)

    drawn = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="loss over training steps">'
    ]
    for loss in _loss_ticks(y0, y1):
        at = float(y(loss))
        drawn.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{loss:g}</text>'
        )
    for step in round_ticks(x0, x1):
        at = float(x(step))
        drawn.append(
            f'<text x="{at:.1f}" y="{_HEIGHT - 22}" text-anchor="middle">{step:,.0f}</text>'
        )
    drawn.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">'
        "training step, all phases</text>"
    )
    for (name, _), start in zip(phases, starts, strict=True):
        at = float(x(start))
        drawn.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 16}" y2="{_HEIGHT - _BOTTOM}" '
            f'class="phase"/><text x="{at + 5:.1f}" y="{_TOP - 6}">{html.escape(name)}</text>'
        )
    colors = dict(zip((n for n in parts_of if n != "loss"), COLORS * 4, strict=False))
    colors["loss"] = TOTAL_COLOR
    for name, parts in sorted(parts_of.items(), key=lambda item: item[0] == "loss"):
        width = 2.4 if name == "loss" else 1.4
        for s, v in parts:
            drawn += [_line(x(s), y(v), colors[name], 0.7, 0.25)] if len(s) > 40 else []
            drawn.append(_line(x(s), y(_running_mean(v)), colors[name], width, 1.0))
    return "".join(drawn) + "</svg>" + _legend(parts_of, colors)


def _series(
    phases: Sequence[Sequence[Mapping[str, float]]], starts: Sequence[float]
) -> dict[str, list[Line]]:
    """Each loss's lines, one for each phase that has it."""
    names = sorted(
        {k for records in phases for r in records for k in r if k.partition("/")[0] == "loss"}
    )
    series: dict[str, list[Line]] = {}
    for name in names:
        for records, start in zip(phases, starts, strict=True):
            pairs = [(start + r["step"], r[name]) for r in records if name in r]
            kept = [(s, v) for s, v in pairs if math.isfinite(v) and v > 0]
            if kept:
                steps, values = np.array(kept, np.float64).T
                series.setdefault(name, []).append((steps, values))
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


def _legend(series: Mapping[str, Sequence[Line]], colors: Mapping[str, str]) -> str:
    """Names, colours and the last running means."""
    items = []
    for name, parts in series.items():
        label = "all" if name == "loss" else name.removeprefix("loss/").replace("_", " ")
        last = _running_mean(parts[-1][1])[-1]
        items.append(
            f'<li><i style="background:{colors[name]}"></i>{html.escape(label)} '
            f"<b>{last:.3g}</b></li>"
        )
    return f'<ul class="legend">{"".join(items)}</ul>'
