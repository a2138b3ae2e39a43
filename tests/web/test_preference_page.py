"""A preference study in a real browser: two raters, a crash between, and the tally."""

import json

import numpy as np
import pages
import pytest
from PIL import Image

from vision_banana import prefer
from vision_banana.evaluation import preference_study
from vision_banana.evaluation.preference_votes import Votes
from vision_banana.web import preference_page

COUNT = 4


@pytest.fixture
def folders(tmp_path):
    """Ours are light, theirs dark; the last is an edit."""
    pages.needed()
    for i in range(COUNT):
        for name, level in (("ours", 0.9), ("theirs", 0.2)):
            path = tmp_path / name / "image_generation" / f"{i:06d}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            rgb = np.full((24, 32, 3), level, np.float32)
            rgb[:12] *= 0.5
            more = {"picture": np.zeros((24, 32, 3), np.uint8)} if i == COUNT - 1 else {}
            np.savez(path, key=f"set/{i}", prompt=f"a <b>cube</b> number {i}", rgb=rgb, **more)
    return tmp_path


def serve(folders):
    arguments = [*pages.module("prefer"), folders / "ours", folders / "theirs", "--votes",
                 folders / "votes.jsonl", "--port", pages.free_port()]  # fmt: skip
    return pages.Served(arguments, folders)


def enter(page, name):
    page.fill("#name input, #name textarea", name)
    page.click("#begin")


def wait_for(page, done):
    """Waits for the pair that is shown after `done` votes."""
    page.wait_for_function(
        "text => { const done = document.querySelector('#done');"
        " return done && done.innerText.startsWith(text); }",
        arg=f"{done} of {COUNT} judged",
    )
    page.wait_for_function(
        "['left', 'right'].every(n => (document.querySelector(`#${n} img`) || {}).naturalWidth"
        " === 32)"
    )


def brightness(page, side, folder):
    """Mean level of the picture that a rater sees on a side."""
    response = page.request.get(page.locator(f"#{side} img").get_attribute("src"))
    (folder / "seen.png").write_bytes(response.body())
    return np.asarray(Image.open(folder / "seen.png")).mean()


def test_two_raters_and_a_crash(folders, tmp_path, capsys):
    study = preference_study.read(str(folders / "ours"), str(folders / "theirs"))
    first = serve(folders)
    with pages.browser() as browser:
        opened = pages.Opened(browser, first, tmp_path / "pictures")
        page = opened.page
        page.wait_for_selector("#begin")
        opened.shoot("prefer_start")
        page.click("#begin")
        page.wait_for_selector("text=Write your name first")
        enter(page, " Ana ")
        for done, showing in enumerate(preference_study.order(study, "ana")[:2]):
            wait_for(page, done)
            assert showing.pair.prompt in page.inner_text("#asked")  # <b> is shown, not obeyed
            assert page.is_visible("#edited") == showing.pair.name.endswith("3")
            light = {side: brightness(page, side, tmp_path) > 100 for side in ("left", "right")}
            assert light == {"left": showing.ours_left, "right": not showing.ours_left}
            text = page.content()
            assert not any(word in text for word in ("theirs", str(folders / "ours")))
            opened.shoot(f"prefer_{done}")
            page.click("#choose_left" if light["left"] else "#choose_right")
        wait_for(page, 2)
        first.kill()
        assert opened.elsewhere == []
        with (folders / "votes.jsonl").open("a") as file:
            file.write('{"rater": "ana", "jud')
        second = serve(folders)
        assert "half a vote" in second.log.read_text()
        opened = pages.Opened(browser, second, tmp_path / "pictures")
        page = opened.page
        page.wait_for_selector("#begin")
        enter(page, "ANA")
        for done in (2, 3):
            wait_for(page, done)
            page.click("#choose_tie")
        page.wait_for_selector("#thanks h2")
        opened.shoot("prefer_end")
        assert opened.complaints == opened.elsewhere == []
        page.reload()
        page.wait_for_selector("#begin")
        enter(page, "ben")
        wait_for(page, 0)
        page.click("#choose_left")
        wait_for(page, 1)
        assert second.end() == 0
    assert "| people |" in second.log.read_text()
    lines = [json.loads(line) for line in (folders / "votes.jsonl").read_text().splitlines()[1:]]
    assert [(line["rater"], line["vote"]) for line in lines[:4]] == [("ana", 1)] * 2 + [
        ("ana", 0)
    ] * 2
    assert len(lines) == 5 and lines[4]["rater"] == "ben"
    arguments = [str(folders / "ours"), str(folders / "theirs"), "--report"]
    assert prefer.main([*arguments, "--votes", str(folders / "votes.jsonl")]) == 0
    assert "| 5 | 4 | 2 |" in capsys.readouterr().out


def test_pairs_that_are_lost_are_passed_over(tmp_path, recwarn):
    pytest.importorskip("gradio", reason="gradio is not installed: the extra `demo` has it")
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        for i in range(COUNT):
            rgb = np.zeros((2, 2, 3), np.float32)
            np.savez(tmp_path / name / f"{i}.npz", key=f"set/{i}", prompt="a cube", rgb=rgb)
    study = preference_study.read(str(tmp_path / "ours"), str(tmp_path / "theirs"))
    votes = Votes(tmp_path / "votes.jsonl", study)
    page = preference_page.build(votes, COUNT)
    (enter, *_) = (x.fn for x in page.fns.values() if x.fn and x.fn.__name__ == "enter")
    whole = study.pairs[0].ours.read_bytes()
    study.pairs[0].ours.unlink()
    study.pairs[1].ours.write_bytes(whole[: len(whole) // 2])
    study.pairs[2].theirs.write_bytes(b"")
    who, showing, *_ = enter("ana")
    assert who == "ana" and showing.pair == study.pairs[3]
    votes.add(who, showing, "tie")
    _, showing, *_, thanks = enter("ana")
    votes.close()
    assert showing is None and "every pair but 3, which cannot be read." in thanks["value"]
    assert any("passed over: 0 cannot be read" in str(x.message) for x in recwarn)


def test_names():
    assert preference_page.rater_name("  Ana  María ") == "ana maría"
    assert preference_page.rater_name("o'neill_2@a-b.org") == "o'neill_2@a-b.org"
    for text, says in ((None, "name first"), ("x" * 41, "this has 41"), ("<b>", "this has '<'"),
                       ("Jo/Ann", "letters, digits, .* or @; this has '/'")):  # fmt: skip
        with pytest.raises(ValueError, match=says):
            preference_page.rater_name(text)


def test_a_prompt_is_no_markup():
    assert "&lt;b&gt;" in preference_page.asked("<b>", False)
    assert "Edit" in preference_page.asked("x", True) and "Edit" not in preference_page.asked(
        "x", False
    )
    assert "3 of 4 judged" in preference_page.progress(
        3, 4
    ) and "75.0%" in preference_page.progress(3, 4)
