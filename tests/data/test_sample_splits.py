"""The split of the sample sets: by scene, the same for good, and never tested on what was seen."""

import collections
import os
import re

import pytest

from configs import real_pictures
from vision_banana.data import sample_splits, samples
from vision_banana.evaluation import benchmarks, photographs


@pytest.mark.parametrize(
    ("dataset", "train", "heldout"),
    [
        ("tum_rgbd", ["fr1_rpy_00", "fr1_rpy_18"], ["fr3_cabinet_00", "fr3_cabinet_36"]),
        ("icl_nuim", [], ["1", "2", "3"]),
        ("cleargrasp", ["syn_000000000"], ["syn_000000002"]),
        ("cleargrasp_real", ["real_000000080"], ["real_000000123"]),
        ("comma10k", ["0000", "0009"], ["0004", "0007", "0010"]),
        ("pets", ["Bengal_7", "Abyssinian_164"], ["Bengal_165", "american_bulldog_224"]),
        # CRC-32 of "13774" is 5 * 135614819 + 1, of "139" 5 * 380931049.
        ("coco", ["13774"], ["139"]),
        ("coco_captions", ["13774/0", "13774/4"], ["139/0", "139/4"]),
    ],
)
def test_the_split_is_this_one(dataset, train, heldout):
    assert [sample_splits.split_of(dataset, name) for name in train] == ["train"] * len(train)
    assert [sample_splits.split_of(dataset, name) for name in heldout] == ["heldout"] * len(heldout)


def test_a_set_without_a_split_and_an_unknown_split_are_errors(tmp_path):
    with pytest.raises(ValueError, match=r"'mine' has not been split"):
        sample_splits.split_of("mine", "a")
    with pytest.raises(ValueError, match=r"split is 'test'"):
        samples.Samples("pets", str(tmp_path), split="test")


def test_pictures_that_reports_show_are_never_trained_on():
    ids = [found.group(1) for photo in photographs.load()
           if (found := re.search(r"COCO \w+, image (\d+)", photo.credit))]  # fmt: skip
    assert len(ids) == 3
    assert {sample_splits.split_of("coco", picture) for picture in ids} == {"heldout"}
    assert sample_splits.split_of("tum_rgbd", "fr3_cabinet_00") == "heldout"


def test_the_config_trains_on_one_split_and_the_benchmarks_score_the_other():
    mixture = real_pictures.get_config().to_dict()["data"]["mixture"]
    trained = [row["source"] for row in mixture.values() if row["source"]["name"] == "samples"]
    assert {source["split"] for source in trained} == {"train"} and len(trained) == 6
    rows = [r for r in benchmarks.BENCHMARKS.values() if r.source["name"] == "samples"]
    assert {row.source["split"] for row in rows} == {"heldout"} and len(rows) == 10
    assert {row.training["split"] for row in rows} == {"train"}
    half = sum(row["weight"] for row in mixture.values()) / 2
    assert sum(mixture[name]["weight"] for name in real_pictures.SETS) == half


def _records(split):
    """Picture files of every set's split, by folder."""
    found = collections.defaultdict(set)
    for name, (folder, *_) in samples.SETS.items():
        read = samples.Samples(name, split=split)
        found[folder] |= {record["picture"] for record in read._records}
    return found


def test_no_picture_lies_in_both_splits():
    if not os.environ.get(samples.VARIABLE):
        pytest.skip(f"{samples.VARIABLE} is not set: it names the folder of the sample sets")
    train, heldout, both = (_records(split) for split in ("train", "heldout", None))
    for folder in both:
        assert not train[folder] & heldout[folder]
        assert train[folder] | heldout[folder] == both[folder] and heldout[folder]


def test_the_ids_of_held_out_pictures_of_coco_are_those_of_the_split():
    if not os.environ.get(samples.VARIABLE):
        pytest.skip(f"{samples.VARIABLE} is not set: it names the folder of the sample sets")
    held = [samples.Samples(name, split="heldout")._records for name in samples.FROM_COCO]
    assert {record["id"] for records in held for record in records} == sample_splits.HELD_OUT_COCO


@pytest.mark.parametrize("name", [r.name for r in benchmarks._REAL])
def test_the_benchmarks_have_all_held_out_records(name):
    if not os.environ.get(samples.VARIABLE):
        pytest.skip(f"{samples.VARIABLE} is not set: it names the folder of the sample sets")
    row = benchmarks.BENCHMARKS[name]
    source = benchmarks.open_source(row.source, 64)
    assert len(source) == row.records
    assert source.example(0, row.tasks[0]).valid.any()
