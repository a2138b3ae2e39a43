import pytest

from vision_banana.data import mixture, sources

SCENES = {"name": "scenes", "split": "train", "size": 16}


def test_the_first_records_alone():
    few = sources.build(SCENES | {"records": 3})
    whole = sources.build(SCENES | {"records": 0})
    assert len(few) == 3 and len(whole) == 2**40
    assert few.name == whole.name and few.tasks == whole.tasks
    assert few.example(2, "depth").key == whole.example(2, "depth").key == "scenes/train/2"
    with pytest.raises(IndexError, match=r"3 is outside 0 \.\. 2"):
        few.example(3, "depth")


@pytest.mark.parametrize("records", [-1, 4097])
def test_more_records_than_there_are(records):
    with pytest.raises(ValueError, match=f"has 4096 records: records={records}"):
        sources.build(SCENES | {"split": "heldout", "records": records})


def test_a_mixture_draws_from_the_first_records_alone():
    row = {
        "source": SCENES | {"records": 2}, "tasks": {"depth": 1.0}, "weight": 1.0,
        "references": 1, "flip": False,
    }  # fmt: skip
    drawn = mixture.Mixture([row], 1, 16, 16, 64, 0)
    keys = {key for step in range(12) for key in drawn.group(step, 0)["records"]}
    assert keys == {"scenes/train/0", "scenes/train/1"}
