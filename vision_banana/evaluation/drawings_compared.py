"""Two checkpoints' drawings of the same captions and edits, side by side and in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from vision_banana.evaluation import page, report_pictures, results, totals
from vision_banana.evaluation.page import Section
from vision_banana.tasks import TASKS

LEAD = (
    "Two checkpoints were given the same held-out captions, the same edits and the same noise. "
    "A difference is real where its interval leaves out 0."
)
HEADINGS = {"image_generation": "Pictures from words", "image_editing": "Edits"}


def table(
    before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """The scores of both and their difference with its 95 % interval over pictures.

    Args:
      before: task -> `caption_sheet.Drawn`.
      after: the same, of the same queries.
      names: of the two checkpoints.

    Returns:
      Header and body, all text.
    """
    header = ["task", "metric", *names, "difference", "95 % interval"]
    body = []
    for name in before:
        metric = TASKS[name].metric()
        columns = [drawn[name].states for drawn in (before, after)]
        scores = [metric.compute(totals.total(metric, states)) for states in columns]
        found = totals.differences(metric, columns[0], columns[1])
        for number, best in TASKS[name].perfect.items():
            row = [name, f"{number} {'↑' if best else '↓'}"]
            row += [f"{score[number]:.3f}" for score in scores]
            if number in found:
                value, low, high = found[number]
                row += [f"{value:+.3f}", f"{low:+.3f} to {high:+.3f}"]
            else:
                row += [results.NOTHING] * 2
            body.append(row)
    return header, body


def markdown(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> str:
    """The table as Markdown."""
    return results.markdown(*table(before, after, names))


def build(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    names: Sequence[str],
    facts: Mapping[str, str],
) -> str:
    """The page: the table, then every picture of both.

    Args:
      before: task -> `caption_sheet.Drawn`.
      after: the same, of the same queries.
      names: of the two checkpoints.
      facts: for the page's head.

    Returns:
      HTML.
    """
    header, body = table(before, after, names)
    cells = "".join(f"<th class=words>{page.text(h)}</th>" for h in header)
    lines = "".join(
        "<tr>" + "".join(f'<td class="words">{page.text(x)}</td>' for x in row) + "</tr>"
        for row in body
    )
    scores = (
        f'<div class="card scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
    sections = [Section("scores", "Scores", scores)]
    for name in before:
        pairs = zip(
            before[name].queries, before[name].pictures, after[name].pictures, strict=True
        )  # fmt: skip
        shown = "".join(
            _pair(query, pictures, names, name == "image_editing") for query, *pictures in pairs
        )
        sections.append(Section(name, HEADINGS[name], f'<div class="pairs">{shown}</div>'))
    return page.build("Is drawing kept?", LEAD, facts, sections)


def _pair(query: Any, pictures: Sequence[Any], names: Sequence[str], editing: bool) -> str:
    figure = report_pictures.figure
    figures = [figure(rgb, name, name) for name, rgb in zip(names, pictures, strict=True)]
    if editing:
        unedited, target = query.example.references[0], query.truth()
        figures = [figure(unedited, "input", "input"), figure(target, "target", "target"), *figures]
    strip = "four" if editing else "two"
    return (
        f'<div class="card pairing {strip}"><p class="prompt"><q>{page.text(query.prompt)}</q></p>'
        f'<div class="strip">{"".join(figures)}</div></div>'
    )
