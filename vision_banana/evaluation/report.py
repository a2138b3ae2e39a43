"""The page about a run: pictures, scores, loss curve, a point cloud that turns.

The functions take plain arrays and strings and know nothing of the model.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vision_banana.evaluation import charts, page, report_pictures, turning_cloud
from vision_banana.evaluation.page import Section
from vision_banana.evaluation.phases import Phase
from vision_banana.evaluation.turning_cloud import Cloud
from vision_banana.tasks import colors, depth

TASK_NOTES = {
    "depth": "Metres along the optical axis, drawn along seven edges of the RGB cube.",
    "surface_normals": "Which way each surface faces: left is pinkish red, up is light green, "
    "towards the camera is light blue.",
    "semantic_segmentation": "The prompt names the classes and gives each a colour; every pixel "
    "takes the class of the nearest colour.",
    "instance_segmentation": "One colour for each object, chosen by the model; decoding finds how "
    "many there are.",
    "referring_segmentation": "The prompt describes a region in words and gives it a colour.",
    "image_generation": "The prompt is all there is.",
    "image_editing": "A picture and an instruction; the answer is the edited picture.",
}


class Row(NamedTuple):
    """One question about one picture, and its answer.

    Attributes:
      task: the task's name.
      prompt: what was asked.
      inputs: the reference pictures, each (H, W, 3) RGB in [0, 1].
      target: the true answer as a picture, None where it is unknown.
      generated: what the model drew, (H, W, 3) RGB in [0, 1].
      decoded: the answer as a picture for people, None where there is nothing to decode.
      error: (H, W) in [0, 1], NaN where the truth is unknown; None where there is no truth.
      note: a few words on this answer ("AbsRel 0.12").
    """

    task: str
    prompt: str
    inputs: Sequence[np.ndarray]
    generated: np.ndarray
    target: np.ndarray | None = None
    decoded: np.ndarray | None = None
    error: np.ndarray | None = None
    note: str = ""


class Generation(NamedTuple):
    """A picture drawn from words alone."""

    caption: str
    picture: np.ndarray
    note: str = ""


class Table(NamedTuple):
    """Scores: a header, and rows of strings or numbers; columns named skill get a bar."""

    header: Sequence[str]
    body: Sequence[Sequence[Any]]


class Photo(NamedTuple):
    """A real photograph and every task's answer to it; `credit` names origin and licence."""

    name: str
    picture: np.ndarray
    credit: str
    rows: Sequence[Row]


def build(
    title: str,
    lead: str,
    facts: Mapping[str, str],
    *,
    generations: Sequence[Generation] = (),
    rows: Sequence[Row] = (),
    scores: Table | None = None,
    scores_note: str = "",
    phases: Sequence[Phase] = (),
    clouds: Sequence[Cloud] = (),
    photos: Sequence[Photo] = (),
    photos_note: str = "",
) -> str:
    """Builds the page.

    Args:
      title: the page's title.
      lead: what this is, a paragraph of plain text.
      facts: name to value: config, seed, steps, versions, time.
      generations: pictures drawn from captions.
      rows: answers on held-out scenes; those of one task stand together.
      scores: the score table.
      scores_note: a sentence on how the scores were measured.
      phases: of the training, whose loss is drawn as one curve.
      clouds: depth maps to turn in space.
      photos: real photographs.
      photos_note: how far they are from what the model was trained on, said plainly.

    Returns:
      HTML. Sections without content are left out.
    """
    sections = [
        Section("generations", "Pictures from words", _generations(generations)),
        Section("tasks", "Answers on held-out scenes", _tasks(rows)),
        Section("scores", "Scores", _scores(scores, scores_note)),
        Section("curves", "Loss", _curve(phases)),
        Section("space", "Depth in space", _clouds(clouds)),
        Section("photographs", "Real photographs", _photos(photos, photos_note)),
    ]
    style = turning_cloud.style() if clouds else ""
    script = turning_cloud.script() if clouds else ""
    return page.build(title, lead, facts, sections, style, script)


def _generations(generations: Sequence[Generation]) -> str:
    if not generations:
        return ""
    figures = [
        report_pictures.figure(g.picture, f"{g.caption} {g.note}".strip(), g.caption)
        for g in generations
    ]
    return (
        "<p>The model drew these from the words below them and from noise, nothing else.</p>"
        f'<div class="card"><div class="strip wide">{"".join(figures)}</div></div>'
    )


def _tasks(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    intro = (
        "<p>The same weights answer every question with a picture, and the picture is read back "
        "into numbers. None of these scenes was trained on. Error maps are white where the answer "
        "is right, dark red where it is far off, grey where the truth is unknown.</p>"
    )
    return intro + "".join(_task(task, some) for task, some in by_task.items())


def _task(task: str, rows: Sequence[Row]) -> str:
    scenes = "".join(
        f'<div class="scene">{_asked(row)}<div class="strip five">{_five(row)}</div></div>'
        for row in rows
    )
    maps = {depth.read_colormap(row.prompt) for row in rows} if task == "depth" else set()
    legend = "".join(map(report_pictures.depth_legend, sorted(maps)))
    note = TASK_NOTES.get(task, "")
    return f'<div class="card"><h3>{_name(task)}</h3><p>{note}</p>{legend}{scenes}</div>'


def _five(row: Row) -> str:
    error = None if row.error is None else report_pictures.error_picture(row.error)
    figure = report_pictures.figure
    names = ("input",) if len(row.inputs) < 2 else ("first input", "second input")
    inputs = [figure(p, n, n) for p, n in zip(row.inputs, names, strict=False)]
    first = inputs[0] if len(inputs) == 1 else f'<div class="pair">{"".join(inputs)}</div>'
    return "".join(
        (
            first if inputs else figure(None, "input", "words alone"),
            figure(row.target, "target", "truth not known"),
            figure(row.generated, "generated RGB", "generated picture"),
            figure(row.decoded, "decoded", "the picture is the answer"),
            figure(error, f"error {row.note}".strip(), "no error map"),
        )
    )


def _asked(row: Row) -> str:
    return f'<p class="prompt">asked <q>{page.text(row.prompt)}</q></p>{_swatches(row)}'


def _swatches(row: Row) -> str:
    """The colours that a segmentation prompt gives, as people see them."""
    if "segmentation" not in row.task:
        return ""
    try:
        legend = colors.parse_prompt(row.prompt)
    except ValueError:  # an instance prompt without a background names no colour
        return ""
    items = [
        f'<li><i style="background:rgb{tuple(map(int, rgb))}"></i>{page.text(name)}</li>'
        for name, rgb in legend.items()
    ]
    return f'<ul class="swatches">{"".join(items)}</ul>'


def _name(task: str) -> str:
    return page.text(task.replace("_", " ").capitalize())


def _scores(scores: Table | None, note: str) -> str:
    if scores is None:
        return ""
    words = [
        all(isinstance(row[c], str) and not _is_number(row[c]) for row in scores.body)
        for c in range(len(scores.header))
    ]
    head = "".join(
        f"<th{' class=words' if w else ''}>{page.text(h)}</th>"
        for h, w in zip(scores.header, words, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(map(_cell, row, scores.header, words)) + "</tr>" for row in scores.body
    )
    return (
        f"<p>{page.text(note)}</p>"
        '<p class="quiet">Blind is the best answer that never looks at the picture. Skill is the '
        "share of the way from blind to perfect: 0 is no better than blind, 1 is perfect.</p>"
        f'<div class="card scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any, name: str, words: bool) -> str:
    shown = f"{value:.3f}" if isinstance(value, float) else page.text(value)
    if "skill" in name.lower() and _is_number(value):
        full = 100 * min(max(float(value), 0.0), 1.0)
        return f'<td class="skill" style="background-size:{full * 0.6:.0f}% 60%">{shown}</td>'
    return f'<td class="words">{shown}</td>' if words else f"<td>{shown}</td>"


def _is_number(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def _curve(phases: Sequence[Phase]) -> str:
    if not phases:
        return ""
    chart = charts.loss_chart([(phase.name, phase.records) for phase in phases])
    return (
        '<p class="quiet">Running means over the recorded values, which are faint behind them; the '
        "loss axis is logarithmic. A dashed line is where a phase begins; each phase has its own "
        "mix of tasks and of noise, so losses of two phases differ for that too.</p>"
        f'<div class="card scroll"><div class="chart">{chart}</div></div>'
    )


def _clouds(clouds: Sequence[Cloud]) -> str:
    if not clouds:
        return ""
    return (
        "<p>Each pixel's depth in metres places it in space. "
        f'{turning_cloud.HELP}</p><div class="card">{turning_cloud.section(clouds)}</div>'
    )


def _photos(photos: Sequence[Photo], note: str) -> str:
    if not photos:
        return ""
    return f'<p class="warning">{page.text(note)}</p>' + "".join(_photo(photo) for photo in photos)


def _photo(photo: Photo) -> str:
    answers = []
    for row in photo.rows:
        pair = report_pictures.figure(row.generated, "generated RGB", "generated picture")
        if row.decoded is not None:
            pair += report_pictures.figure(
                row.decoded, f"decoded {row.note}".strip(), "decoded picture"
            )
        answers.append(
            f'<div><h3>{_name(row.task)}</h3>{_asked(row)}<div class="pair">{pair}</div></div>'
        )
    return (
        f'<div class="card photo">{report_pictures.figure(photo.picture, photo.credit, photo.name)}'
        f'<div class="answers">{"".join(answers)}</div></div>'
    )
