"""One self-contained HTML page of named sections, in the look that all of ours share.

Everything on a page is inside it (pictures as PNG data URIs), so it opens without a network.
"""

import html
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FOLDER = pathlib.Path(__file__).parent


class Section(NamedTuple):
    """A part of a page: an anchor, a heading and HTML; one without HTML is left out."""

    key: str
    name: str
    body: str


def build(
    title: str,
    lead: str,
    facts: Mapping[str, str],
    sections: Sequence[Section],
    style: str = "",
    script: str = "",
) -> str:
    """Builds a page.

    Args:
      title: the page's title, plain text as the next two.
      lead: what this is, a paragraph.
      facts: name to value: config, seed, steps, versions, time.
      sections: in their order.
      style: CSS beside the page's own.
      script: JavaScript that runs once the page is there.

    Returns:
      HTML.
    """
    shown = [section for section in sections if section.body]
    page = string.Template((FOLDER / "page.html").read_text())
    return page.substitute(
        title=text(title),
        lead=f"<p>{text(lead)}</p>",
        facts="".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in facts.items()),
        nav="".join(f'<a href="#{s.key}">{s.name}</a>' for s in shown),
        sections="\n".join(
            f'<section id="{s.key}"><h2>{s.name}</h2>{s.body}</section>' for s in shown
        ),
        footer="This page holds everything it shows and asks no network for anything.",
        style=style,
        script=script,
    )


def text(value: Any) -> str:
    """A value as HTML text."""
    return html.escape(str(value))
