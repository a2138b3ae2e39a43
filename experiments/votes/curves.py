"""Reliability, and risk against coverage, as one SVG: a row of two charts for each task."""

import html
from collections.abc import Mapping

import numpy as np

from vision_banana.metrics import calibration
from vision_banana.metrics.calibration import ConfidenceState

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito's
SIDE, GAP = 200, 60


def draw(states: Mapping[int, Mapping[str, ConfidenceState]]) -> str:
    """Charts of number of votes -> task -> confidences; a colour for each number of votes."""
    tasks = list(next(iter(states.values())))
    parts = []
    for row, task in enumerate(tasks):
        top = 40 + row * (SIDE + GAP)
        lines: list[list[tuple[np.ndarray, np.ndarray]]] = [[], []]
        for of_votes in states.values():
            _, sure, right = calibration.reliability(of_votes[task])
            seen = np.isfinite(right)
            lines[0].append((sure[seen], right[seen]))
            lines[1].append(calibration.risk_coverage(of_votes[task]))
        parts.append(_chart(GAP, top, f"{task}: share right against confidence", lines[0], True))
        left = SIDE + 3 * GAP
        parts.append(_chart(left, top, f"{task}: errors against coverage", lines[1], False))
    legend = "".join(
        f'<text x="{GAP + 90 * i}" y="16" fill="{COLORS[i % len(COLORS)]}">{votes} '
        f"vote{'s' if votes > 1 else ''}</text>"
        for i, votes in enumerate(states)
    )
    height = 40 + len(tasks) * (SIDE + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * SIDE + 5 * GAP}" '
        f'height="{height}" font-family="sans-serif" font-size="11">{legend}{"".join(parts)}</svg>'
    )


def _chart(
    left: int, top: int, title: str, lines: list[tuple[np.ndarray, np.ndarray]], diagonal: bool
) -> str:
    """Lines over the unit square."""
    marks = [
        f'<text x="{left}" y="{top - 6}">{html.escape(title)}</text>',
        f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>',
    ]
    for end in (0, 1):
        marks.append(f'<text x="{left + end * SIDE - 3}" y="{top + SIDE + 14}">{end}</text>')
        marks.append(f'<text x="{left - 12}" y="{top + (1 - end) * SIDE + 4}">{end}</text>')
    if diagonal:
        marks.append(
            f'<line x1="{left}" y1="{top + SIDE}" x2="{left + SIDE}" y2="{top}" stroke="#bbb"/>'
        )
    for i, (x, y) in enumerate(lines):
        _, shown = np.unique(np.round(x * SIDE), return_index=True)  # a point for each pixel
        x, y = x[shown], y[shown]
        points = " ".join(
            f"{left + a * SIDE:.1f},{top + (1 - b) * SIDE:.1f}" for a, b in zip(x, y, strict=True)
        )
        color = COLORS[i % len(COLORS)]
        marks.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
    return "".join(marks)
