"""What `make docs` puts into the pages: tables from result files, and formulas as MathML."""

import html
import json
import logging
import pathlib
import re
import unicodedata
import urllib.parse
import warnings

import latex2mathml.converter
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from vision_banana.evaluation import paper_tables, results, table_formats
from vision_banana.training import pretrained

ROOT = pathlib.Path(__file__).parents[1]
MISSING = (
    "There is none in this copy of the code. `python -m vision_banana.export --workdir RUN "
    "--output {folder}` makes it from a trained run."
)
# Code, in which a dollar is a dollar; display formulas; formulas in a line.
MATHS = re.compile(r"(```.*?```|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)
# Letters of other alphabets, which browsers draw by their own characters alone.
LETTERS = re.compile(r'<mi mathvariant="(script|double-struck)">([A-Z])</mi>')

UNDESCRIBED = "No description has been provided for this image"
# nbconvert warns of them before `on_page_content` describes them.
logging.getLogger("traitlets").addFilter(lambda record: "Alternative text" not in record.msg)


def on_files(files, config, **_):
    """Adds the pictures of the packaged generator's card, which the page of results shows."""
    folder = _packaged()
    for picture in sorted(folder.glob("*.jpg")):
        files.append(File(picture.name, str(folder), config.site_dir, config.use_directory_urls))
    return files


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
        return LETTERS.sub(_letter, latex2mathml.converter.convert(block, display="block"))
    # In a span, or a line that begins with it would begin a paragraph.
    return f"<span>{LETTERS.sub(_letter, latex2mathml.converter.convert(inline))}</span>"


def on_page_content(html, page, **_):
    """Describes a notebook's pictures by what their cells' metadata say of them."""
    if not page.file.src_path.endswith(".ipynb"):
        return html
    cells = json.loads(pathlib.Path(page.file.abs_src_path).read_text("utf-8"))["cells"]
    return described(html, cells)


def described(page, cells):
    """A notebook's HTML with `alt` of its cells in place of nbconvert's stopgap."""
    pictures = (
        cell["metadata"].get("alt", "")
        for cell in cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    )
    return re.sub(
        rf'alt="{UNDESCRIBED}"', lambda _: f'alt="{html.escape(next(pictures, ""))}"', page
    )


def _letter(found):
    name = f"{found[1].upper()} CAPITAL {found[2]}"
    try:
        return f"<mi>{unicodedata.lookup(f'MATHEMATICAL {name}')}</mi>"
    except KeyError:  # the few that were there before the others
        return f"<mi>{unicodedata.lookup(name)}</mi>"


def on_post_build(config, **_):
    """Ends the build where a page shows what is not there."""
    if missing := missing_pictures(pathlib.Path(config.site_dir)):
        raise PluginError("pages show what is not there: " + "; ".join(missing))


def missing_pictures(site):
    """Pages of a built site and the files that they show, or load, in vain."""
    missing = []
    for page in sorted(site.rglob("*.html")):
        for source in re.findall(r'<(?:img|script)[^>]* src="([^"]+)"', page.read_text("utf-8")):
            path = urllib.parse.unquote(html.unescape(source).partition("?")[0])
            if re.match(r"[a-z]+:|//", path):  # data, or another site
                continue
            at = site / path[1:] if path.startswith("/") else page.parent / path
            if not at.exists():
                missing.append(f"{page.relative_to(site)}: {source}")
    return missing


def _packaged():
    return pathlib.Path(pretrained.FOLDER) / pretrained.PACKAGED[0]


def card():
    """The model card of the packaged generator, without its front matter and title."""
    folder = _packaged()
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
