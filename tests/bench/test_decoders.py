import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("skimage")

from vision_banana.bench import decoders, plain, timing


def test_both_ways_agree_on_every_case_and_are_timed():
    result = decoders.compare(rounds=1, side=128, batch=2)
    assert len(result["cases"]) == 13
    for row in result["cases"].values():
        assert row["ratio"] == row["usual"]["median"] / row["ours"]["median"]
        assert row["share_of_copy"] > 0
    lines = decoders.report(result).splitlines()
    assert "2 x 128 x 128" in lines[0]
    assert [x.split("  ")[0] for x in lines[3:]] == list(result["cases"])


def case(tolerance=0.1, share=0.0):
    return decoders.Case(None, "hand", None, 1.0, tolerance, share)


def test_answers_that_differ_are_an_error_that_names_the_case():
    right = np.array([1.0, 2.0, np.inf, 4.0])
    decoders.agree("depth", case(), [right], [right + 0.05])
    wrong = np.array([1.0, 2.3, np.inf, 4.0])
    with pytest.raises(
        ValueError, match=r"depth: 1 of 4 values .* hand's, the first 2.3 against 2"
    ):
        decoders.agree("depth", case(), [wrong], [right])
    decoders.agree("depth", case(share=0.25), [wrong], [right])
    with pytest.raises(ValueError, match="shapes"):
        decoders.agree("depth", case(), [right], [right[:2]])


def test_fills_find_components_in_order_of_area_then_of_first_pixel():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[4:8, 40:44] = picture[4:8, 4:8] = (255, 0, 0)
    picture[20:30, 20:30] = (0, 255, 0)
    picture[50, 50] = (0, 255, 0)  # below a 5,000th of the picture with two more, but not alone
    expected = np.zeros((64, 64), int)
    expected[20:30, 20:30], expected[4:8, 4:8], expected[4:8, 40:44] = 1, 2, 3
    expected[50, 50] = 4
    palette = np.array([(255, 0, 0), (0, 255, 0)], np.uint8)
    assert (plain.instances_by_color(picture, palette) == expected).all()
    assert (plain.instances_by_flood_fill(picture, np.zeros(3, int)) == expected).all()


def test_times_are_medians_and_quartiles():
    times = timing.summarise([5.0, 1.0, 3.0, 2.0, 4.0])
    assert times == (3.0, 2.0, 4.0, 1.0, 5)
    assert timing.milliseconds(times) == "3000 ms (2000-4000)"
    assert timing.milliseconds(timing.summarise([0.01234])) == "12.3 ms (12.3-12.3)"


def test_turns_alternate_and_leave_warm_rounds_out():
    ran = []
    times = timing.in_turns({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, 2, warm=1)
    assert ran == ["a", "b"] * 3
    assert times["a"].rounds == 2
