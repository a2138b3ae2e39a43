"""Clouds that turn in a browser, as the data that their script reads."""

import html
import json
import re

import numpy as np
import pytest

from vision_banana.evaluation import turning_cloud
from vision_banana.evaluation.turning_cloud import Cloud


def data_of(page):
    return json.loads(re.search(r'id="cloud-data">(.*?)</script>', page)[1])[0]


def test_points_by_hand():
    # 90 degrees over 2 pixels: focal length 1, pixel centres half a pixel off the axis.
    depth_m = np.array([[2.0, np.inf], [4.0, 61.0]])
    picture = np.array([[[1, 0, 0], [0, 0, 0]], [[0, 0.5, 1], [0, 0, 0]]])
    data = data_of(turning_cloud.section([Cloud("room", depth_m, picture, 90.0)]))
    assert data["points"] == [-1, 1, -2, -2, -2, -4]
    assert data["colors"] == [255, 0, 0, 0, 128, 255]
    assert (data["pivot"], data["aspect"], data["pixel"]) == pytest.approx((3, 1, 1))
    assert data["note"].startswith("2 points") and "2 pixels" in data["note"]


def test_of_a_large_depth_map_every_nth_pixel_is_shown(monkeypatch):
    monkeypatch.setattr(turning_cloud, "POINTS", 6)
    depth_m = np.arange(1.0, 25).reshape(4, 6)
    picture = np.repeat(depth_m[..., None], 3, axis=-1) / 255
    data = data_of(turning_cloud.section([Cloud("", depth_m, picture, 60.0)]))
    assert data["points"][2::3] == [-1, -3, -5, -13, -15, -17]
    assert data["colors"][::3] == [1, 3, 5, 13, 15, 17]


def test_a_frame_holds_all_it_needs_and_can_do_nothing_else():
    frame = turning_cloud.frame(Cloud('a "room"', np.ones((2, 2)), np.ones((2, 2, 3)), 60.0))
    assert 'sandbox="allow-scripts"' in frame and 'title="a &quot;room&quot;"' in frame
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1])
    assert len(data_of(page)["points"]) == 12
    assert turning_cloud.script() in page and turning_cloud.style() in page
    assert not re.search(r"https?:|url\(|@import|fetch\(", page)


def test_a_sky_has_no_points():
    data = data_of(turning_cloud.frame(Cloud("", np.full((2, 2), np.inf), np.ones((2, 2, 3)), 60))
                   .replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">"))  # fmt: skip
    assert data["points"] == [] and data["pivot"] == 1
