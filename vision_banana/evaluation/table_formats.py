"""The paper's tables as Markdown, LaTeX, CSV, and one HTML page with plots."""

import csv
import html
import io
from collections.abc import Sequence

from vision_banana.evaluation.paper_tables import Cell, Line, Table

ARROWS = {"higher": "↑", "lower": "↓"}
OURS, OTHERS = "#d55e00", "#0072b2"  # Okabe and Ito's, which colour-blind people can tell apart
_TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "±": r"$\pm$"}


def _label(line: Line) -> str:
    return f"{line.method} ({line.note})" if line.note else line.method


def _texts(line: Line) -> list[str]:
    return ["" if cell is None else cell.full for cell in line.cells]


def markdown(tables: Sequence[Table]) -> str:
    """All tables, each under its title."""
    parts = []
    for table in tables:
        heads = [f"{c} {ARROWS[b]}" for c, b in zip(table.columns, table.better, strict=True)]
        rows = [["method", *heads, "source"]]
        rows += [[_label(line), *_texts(line), line.source] for line in table.lines]
        rule = [":--", *["--:"] * len(heads), ":--"]
        body = [rows[0], rule, *rows[1:]]
        text = "\n".join("| " + " | ".join(x.replace("|", r"\|") for x in row) + " |"
                         for row in body)  # fmt: skip
        parts.append(f"### {table.title}\n\n{text}\n")
    return "\n".join(parts)


def latex(tables: Sequence[Table]) -> str:
    """All tables as `tabular` in `table`, for a document without further packages."""

    def escaped(text: str) -> str:
        return "".join(_TEX.get(letter, letter) for letter in text)

    parts = []
    for table in tables:
        arrows = {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}
        heads = [escaped(c) + arrows[b] for c, b in zip(table.columns, table.better, strict=True)]
        rows = [" & ".join(["method", *heads, "source"])]
        for line in table.lines:
            cells = [escaped(x) for x in (_label(line), *_texts(line), line.source)]
            rows.append(" & ".join(cells))
        lines = [rows[0] + r" \\ \hline", *(row + r" \\" for row in rows[1:])]
        parts.append(
            "\\begin{table}\n\\caption{" + escaped(table.title) + "}\n\\label{tab:" + table.name
            + "}\n\\begin{tabular}{l" + "r" * len(heads) + "l}\n" + "\n".join(lines)
            + "\n\\end{tabular}\n\\end{table}\n"
        )  # fmt: skip
    return "\n".join(parts)


def as_csv(tables: Sequence[Table]) -> str:
    """One line for each number: no column holds two things."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head = ("table", "method", "note", "source", "ours", "column", "better", "value")
    writer.writerow([*head, "low", "high", "pictures", "skipped", "spread", "seeds"])
    for table in tables:
        for line in table.lines:
            for name, better, cell in zip(table.columns, table.better, line.cells, strict=True):
                if cell is not None:
                    writer.writerow(
                        [table.name, line.method, line.note, line.source, line.ours, name, better,
                         cell.text, cell.low, cell.high, cell.pictures, cell.skipped, cell.spread,
                         cell.seeds]
                    )  # fmt: skip
    return file.getvalue()


def page(tables: Sequence[Table]) -> str:
    """A self-contained HTML page: each table, and a plot of each of its columns."""
    parts = []
    for table in tables:
        heads = "".join(
            f"<th>{html.escape(c)} {ARROWS[b]}</th>"
            for c, b in zip(table.columns, table.better, strict=True)
        )
        rows = "".join(
            f"<tr{' class=ours' if line.ours else ''}><td>{html.escape(_label(line))}</td>"
            + "".join(f"<td class=n>{html.escape(x)}</td>" for x in _texts(line))
            + f"<td>{html.escape(line.source)}</td></tr>"
            for line in table.lines
        )
        plots = "".join(_plot(table, i) for i in range(len(table.columns)))
        parts.append(
            f"<h2>{html.escape(table.title)}</h2><table><tr><th>method</th>{heads}"
            f"<th>source</th></tr>{rows}</table><div>{plots}</div>"
        )
    style = (
        "body{font:15px system-ui;max-width:1100px;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ddd}"
        f".n{{text-align:right}}.ours{{color:{OURS};font-weight:600}}svg{{margin:1em 1em 0 0}}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Tables</title>'
        f"<style>{style}</style><h1>Ours beside the published figures</h1>{''.join(parts)}</html>"
    )


def _plot(table: Table, column: int) -> str:
    """A dot for each number of a column, ours with its interval, as inline SVG."""
    shown = [(line, line.cells[column]) for line in table.lines]
    known: list[tuple[Line, Cell]] = [(line, cell) for line, cell in shown if cell is not None]
    if not known:
        return ""
    name, better = table.columns[column], ARROWS[table.better[column]]
    ends = [x for _, c in known for x in (c.value, c.low, c.high) if x is not None]
    low, high = min([0.0, *ends]), max(ends) or 1.0
    width, left, step = 480, 200, 18

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - 20)

    marks = [f'<text x="0" y="12" font-weight="600">{html.escape(name)} {better}</text>']
    for i, (line, cell) in enumerate(known):
        y, color = 32 + i * step, OURS if line.ours else OTHERS
        marks.append(f'<text x="0" y="{y + 4}">{html.escape(line.method)[:28]}</text>')
        if cell.low is not None and cell.high is not None:
            marks.append(
                f'<line x1="{x(cell.low):.1f}" x2="{x(cell.high):.1f}" y1="{y}" y2="{y}" '
                f'stroke="{color}" stroke-width="2"/>'
            )
        marks.append(
            f'<circle cx="{x(cell.value):.1f}" cy="{y}" r="4" fill="{color}">'
            f"<title>{html.escape(cell.full)}</title></circle>"
        )
    height = 40 + len(known) * step
    return (
        f'<svg width="{width}" height="{height}" font-size="12" role="img" '
        f'aria-label="{html.escape(name)}">{"".join(marks)}</svg>'
    )


FORMATS = {"md": markdown, "tex": latex, "csv": as_csv, "html": page}
