"""A chart of lines with intervals, as one SVG file."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

from vision_banana.evaluation import charts

_WIDTH, _HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 48


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
      name: what the legend calls it.
      x: where its points lie, in rising order.
      y: their values.
      low: lower ends of their intervals.
      high: upper ends.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def draw(lines: Sequence[Line], x_label: str, y_label: str, log_x: bool = False) -> str:
    """An SVG picture; values that are not finite are left out.

    Raises:
      ValueError: nothing to draw, or an x of 0 or less on a logarithmic axis.
    """
    spots = [
        (x, v)
        for one in lines
        for x, *vs in zip(one.x, one.y, one.low, one.high, strict=True)
        for v in vs
        if math.isfinite(v)
    ]
    if not spots:
        raise ValueError("there are no values to draw")
    xs, ys = [_place(x, log_x) for x, _ in spots], [y for _, y in spots]
    x0, x1, y0, y1 = min(xs), max(xs), min(0.0, min(ys)), max(ys)
    x0, x1 = (x0 - 0.5, x1 + 0.5) if x0 == x1 else (x0, x1)
    y1 = y1 if y1 > y0 else y0 + 1

    def across(x: float) -> float:
        return _LEFT + 8 + (_place(x, log_x) - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT - 16)

    def up(y: float) -> float:
        return _TOP + (y1 - y) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)

    height = _HEIGHT + 18 * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for tick in charts.round_ticks(y0, y1):
        at = up(float(tick))
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" '
            'stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for x in sorted({x for one in lines for x in one.x}):
        parts.append(
            f'<text x="{across(x):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{x:g}</text>"
        )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{html.escape(x_label)}</text>"
        f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(y_label)}</text>"
    )
    for number, one in enumerate(lines):
        color = charts.COLORS[number % len(charts.COLORS)]
        at = _HEIGHT + 18 * number
        parts.append(f'<g stroke="{color}" fill="{color}">')
        kept = []
        for x, y, low, high in zip(one.x, one.y, one.low, one.high, strict=True):
            if not math.isfinite(y):
                continue
            kept.append(f"{across(x):.1f},{up(y):.1f}")
            parts.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3"/>')
            if math.isfinite(low) and math.isfinite(high):
                parts.append(
                    f'<line x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{up(low):.1f}" '
                    f'y2="{up(high):.1f}" stroke-opacity="0.5"/>'
                )
        parts.append(f'<polyline points="{" ".join(kept)}" fill="none" stroke-width="2"/>')
        parts.append(
            f'<rect x="{_LEFT}" y="{at}" width="12" height="4"/></g>'
            f'<text x="{_LEFT + 18}" y="{at + 7}">{html.escape(one.name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _place(x: float, log_x: bool) -> float:
    if log_x and x <= 0:
        raise ValueError(f"x is {x}: a logarithmic axis needs numbers above 0")
    return math.log10(x) if log_x else x
