"""A cloud that turns, in a real browser."""

import numpy as np
import pages
import pytest

from vision_banana.evaluation import turning_cloud
from vision_banana.evaluation.turning_cloud import Cloud

WIDE, LOW, HIGH = 600, 400, 700  # of the window; the canvas takes up to 560 pixels of its height
SIZES = """() => {
  const c = document.querySelector("#cloud");
  return [c.width, c.height, c.clientWidth, c.clientHeight];
}"""


@pytest.fixture
def page():
    pages.needed()
    rng = np.random.default_rng(0)
    cloud = Cloud("room", rng.uniform(2, 4, (20, 30)), rng.random((20, 30, 3)), 60.0)
    with pages.browser() as browser:
        opened = browser.new_page(viewport={"width": WIDE, "height": HIGH}, reduced_motion="reduce")
        opened.set_content(
            f"<style>{turning_cloud.style()}</style>{turning_cloud.section([cloud])}"
            f"<script>{turning_cloud.script()}</script>"
        )
        yield opened


def test_it_keeps_its_shape_when_the_window_gets_lower(page):
    before = page.evaluate(SIZES)
    page.set_viewport_size({"width": WIDE, "height": LOW})
    page.wait_for_timeout(200)
    width, height, *shown = page.evaluate(SIZES)
    assert [width, height] == shown and height < before[1]


def test_no_key_turns_it_upside_down(page):
    canvas = page.locator("#cloud")
    canvas.focus()
    seen = [canvas.screenshot()]
    for _ in range(2):
        for _ in range(16):
            page.keyboard.press("ArrowUp")
        page.wait_for_timeout(200)
        seen.append(canvas.screenshot())
    assert seen[0] != seen[1] == seen[2]
