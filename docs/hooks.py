"""What `make docs` puts into the pages: tables from result files, and formulas as MathML."""

import json
import pathlib
import re
import warnings

import latex2mathml.converter

from vision_banana.evaluation import paper_tables, results, table_formats
from vision_banana.training import pretrained

ROOT = pathlib.Path(__file__).parents[1]
MISSING = (
    "There is none in this copy of the code. `python -m vision_banana.export --workdir RUN "
    "--output {folder}` makes it from a trained run."
)
# Code, in which a dollar is a dollar; display formulas; formulas in a line.
MATHS = re.compile(r"(```.*?```|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)


def on_page_markdown(markdown, page, **_):
    """Fills in a page before it is rendered."""
    if page.file.src_path == "results.md":
        markdown = markdown.replace("<!-- card -->", card()).replace("<!-- tables -->", tables())
    # In the repository a link leads to the notebook's source, on the pages to what it printed.
    markdown = markdown.replace("(../colabs/", "(notebooks/")
    return markdown if page.file.src_path.endswith(".ipynb") else MATHS.sub(_mathml, markdown)


def _mathml(found):
    code, block, inline = found.groups()
    if code:
        return code
    if block:
        return latex2mathml.converter.convert(block, display="block")
    # In a span, or a line that begins with it would begin a paragraph.
    return f"<span>{latex2mathml.converter.convert(inline)}</span>"


def card():
    """The model card of the packaged generator, without its front matter and title."""
    folder = pathlib.Path(pretrained.FOLDER) / pretrained.PACKAGED[0]
    file = folder / pretrained.CARD
    if not file.exists():
        return MISSING.format(folder=folder.relative_to(ROOT))
    text = re.sub(r"\A---\n.*?\n---\n", "", file.read_text("utf-8"), flags=re.DOTALL)
    text = re.sub(r"^# .*\n", "", text.lstrip(), count=1)
    return re.sub(r"^#", "##", text, flags=re.MULTILINE)


def tables():
    """The paper's tables with the numbers of every result file in the repository."""
    lines = []
    for file in sorted(
        [*ROOT.glob("experiments/**/results.jsonl"), *ROOT.glob("runs/**/results.jsonl")]
    ):
        try:
            lines += results.read(file)
        except (ValueError, json.JSONDecodeError):
            warnings.warn(f"{file} holds no result lines and is left out", stacklevel=2)
    return table_formats.markdown(paper_tables.build(lines))
