"""What is put into the documents' pages: letters of formulas, pictures that are there."""

import importlib.util
import re

import pytest
from commands import ROOT


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: the extra `docs` has it")
    pytest.importorskip("latex2mathml", reason="latex2mathml is not installed: `docs` has it")
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_letters_of_other_alphabets_are_characters(hooks):
    shown = hooks.MATHS.sub(hooks._mathml, r"$\mathcal N$ $$\mathbb E$$ $\mathbb R$ `$\mathbb E$`")
    assert re.findall(r"<mi>(.)</mi>", shown) == ["𝒩", "𝔼", "ℝ"]
    assert r"`$\mathbb E$`" in shown
    for file in (ROOT / "docs").glob("*.md"):
        text = hooks.MATHS.sub(hooks._mathml, file.read_text("utf-8"))
        # Of all alphabets, browsers know by name that of upright letters alone.
        assert set(re.findall(r'mathvariant="([^"]+)"', text)) <= {"normal"}, file.name


def test_the_cards_pictures_are_added(hooks):
    from mkdocs.config import load_config
    from mkdocs.structure.files import Files

    shown = set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", hooks.card()))
    assert shown
    config = load_config(str(ROOT / "mkdocs.yml"))
    assert shown <= set(hooks.on_files(Files([]), config).src_uris)


def test_what_a_page_shows_in_vain_is_found(hooks, tmp_path):
    (tmp_path / "a b.png").touch()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text(
        '<img alt="" src="../a%20b.png"><img src="/a%20b.png"><img src="data:image/png;base64,x">'
        '<img src="b.png"><script src="../c.js?d"></script><script src="https://e/f.js"></script>'
    )
    assert hooks.missing_pictures(tmp_path) == [
        "page/index.html: b.png", "page/index.html: ../c.js?d"
    ]  # fmt: skip


def test_a_notebooks_pictures_are_described_in_order(hooks):
    picture, words = {"data": {"image/png": "x"}}, {"text": "x"}
    cells = [
        {"metadata": {}},
        {"metadata": {"alt": "one & two"}, "outputs": [picture, words, picture]},
        {"metadata": {"alt": "three"}, "outputs": [picture]},
    ]
    page = f'<img alt="{hooks.UNDESCRIBED}">' * 3
    said = re.findall(r'alt="([^"]*)"', hooks.described(page, cells))
    assert said == ["one &amp; two", "one &amp; two", "three"]
