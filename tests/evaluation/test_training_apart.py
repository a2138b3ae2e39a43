"""What is trained on and what is evaluated on are different pictures."""

import importlib
import inspect
import pathlib

import pytest

import configs
from configs import large, large_1b, large_8b, real_pictures
from vision_banana.data import evaluated_coco, sample_splits, samples, sources
from vision_banana.evaluation.benchmarks import BENCHMARKS
from vision_banana.tasks import TASKS

# Source -> the collections that its pictures come from; a user's own pictures come from none.
TRAINED_ON = {
    "scenes": {"scenes/train"},
    "image_folder": set(),
    "labelled_folder": set(),
    "shards": set(),
    "tfds_captions": {"COCO"},
    "samples": {"samples/train", "COCO"},
    "hypersim": {"Hypersim"},
    "tartanair": {"TartanAir"},
    "midair": {"Mid-Air"},
    "coco_panoptic": {"COCO"},
    "coco_captions": {"COCO"},
    "refcoco": {"COCO"},
    "ade20k": {"ADE20K"},
}
EVALUATED_ON = {
    "scenes": {"scenes/heldout"},
    "scenes_two_references": {"scenes/heldout"},
    "scenes_presence": {"scenes/heldout"},
    "cityscapes": {"Cityscapes"},
    "saco_gold_metaclip": {"MetaCLIP"},
    "saco_gold_sa1b": {"SA-1B"},
    "saco_gold_crowded": {"MetaCLIP"},
    "saco_gold_fg_food": {"MetaCLIP"},
    "saco_gold_fg_sports_equipment": {"MetaCLIP"},
    "saco_gold_attributes": {"MetaCLIP"},
    "saco_gold_wiki_common": {"MetaCLIP"},
    "refcocog": {"COCO"},
    "reasonseg": {"OpenImages", "ScanNet"},
    "reasonseg_seg_zero": {"OpenImages", "ScanNet"},
    "tum_depth": {"samples/held out"},
    "icl_depth": {"samples/held out"},
    "cleargrasp_depth": {"samples/held out"},
    "cleargrasp_real_depth": {"samples/held out"},
    "cleargrasp_normals": {"samples/held out"},
    "cleargrasp_real_normals": {"samples/held out"},
    "comma10k": {"samples/held out"},
    "coco_classes": {"samples/held out", "COCO"},
    "coco_instances": {"samples/held out", "COCO"},
    "pets": {"samples/held out"},
    "nyu_depth": {"NYUv2"},
    "ibims": {"iBims-1"},
    "eth3d": {"ETH3D"},
    "diode_depth": {"DIODE"},
    "kitti_depth": {"KITTI"},
    "nuscenes_depth": {"nuScenes"},
    "nyu_normals": {"NYUv2"},
    "scannet_normals": {"ScanNet"},
    "vkitti_normals": {"Virtual KITTI 2"},
    "diode_normals": {"DIODE"},
    "genai_bench": set(),  # prompts alone
    "imgedit": {"ImgEdit"},
}
# Collections of both: every source drops the evaluated pictures (tests/data/test_coco.py).
DROPPED_BY_ID = {"COCO"}
# The packaged samples open without the list, since those who have them need not have RefCOCOg; who
# scores there after training on them gives it (tests/data/test_samples.py).
DROPPED_WHERE_GIVEN = {"samples": samples.FROM_COCO}
# What is opened of them; sets of TFDS that are made of COCO have no ids on Flickr, and none opens.
OPENED = {
    "tfds_captions": {"dataset": "coco_captions"},
    "coco_panoptic": {"root": "none"},
    "coco_captions": {"root": "none"},
    "refcoco": {"root": "none", "dataset": "refcoco"},
}


def test_every_source_and_benchmark_stands_in_the_tables():
    assert set(TRAINED_ON) == set(sources.SOURCES)
    assert set(EVALUATED_ON) == set(BENCHMARKS)


def test_no_collection_stands_in_both():
    trained, evaluated = (set().union(*t.values()) for t in (TRAINED_ON, EVALUATED_ON))
    assert trained & evaluated == DROPPED_BY_ID


@pytest.mark.parametrize(
    "name",
    [n for n, of in TRAINED_ON.items() if of & DROPPED_BY_ID and n not in DROPPED_WHERE_GIVEN],
)
def test_what_is_dropped_by_id_cannot_be_opened_without_the_list(name):
    with pytest.raises(ValueError, match=r"'evaluated'"):
        sources.build({"name": name, **OPENED[name]})


def test_held_out_samples_of_coco_are_on_every_list(tmp_path):
    path = str(tmp_path / "evaluated.json")
    evaluated_coco.save(evaluated_coco.Evaluated(frozenset({25}), frozenset()), path)
    listed = evaluated_coco.load(path)
    # 471 is scored and shown (evaluation/photos); CRC-32 says that 13774 is trained on.
    assert [listed.has({"id": number}) for number in (25, 471, 13774)] == [True, True, False]
    assert all(
        sample_splits.split_of(dataset, f"{number}") == "heldout"
        for dataset in samples.FROM_COCO
        for number in sample_splits.HELD_OUT_COCO
    )


@pytest.mark.parametrize("dataset", ["coco_captions:1.1.0", "ref_coco/refcocog_umd", "Coco"])
def test_tfds_sets_made_of_coco_are_refused(dataset):
    with pytest.raises(ValueError, match=rf"{dataset} holds pictures of COCO that are evaluated"):
        sources.build({"name": "tfds_captions", "dataset": dataset})


@pytest.mark.parametrize("config", [large_1b, large_8b])
@pytest.mark.parametrize("phase", ["pretrain", "tune"])
def test_a_pod_trains_without_the_evaluated_pictures(config, phase):
    read = [row["source"] for row in config.get_config(phase).to_dict()["data"]["mixture"].values()]
    coco = [s for s in read if "COCO" in TRAINED_ON[s["name"]] and s["name"] != "tfds_captions"]
    assert coco and all(s["evaluated"] == large.EVALUATED for s in coco)
    assert not [s for s in read if "coco" in s.get("dataset", "") and "evaluated" not in s]


@pytest.mark.parametrize("dataset", DROPPED_WHERE_GIVEN["samples"])
def test_samples_of_coco_take_the_list(dataset):
    with pytest.raises(ValueError, match=r"'none\.json' is not there: list the evaluated pictures"):
        sources.build({"name": "samples", "dataset": dataset, "evaluated": "none.json"})
    made_of_coco = {name for name, (folder, *_) in samples.SETS.items() if "coco" in folder}
    assert made_of_coco == set(DROPPED_WHERE_GIVEN["samples"])


def test_real_pictures_pass_the_list_on():
    for evaluated in (None, "none.json"):
        mixture = real_pictures.get_config(evaluated).to_dict()["data"]["mixture"]
        given = {name: row["source"].get("evaluated") for name, row in mixture.items()}
        assert given.pop("coco") == evaluated and not any(given.values())


def test_no_source_is_the_reader_of_a_benchmark():
    read = {row.source["name"] for row in BENCHMARKS.values() if ":" in row.source["name"]}
    opened = {f"{module}:{what}" for module, what in sources.SOURCES.values()}
    assert read and not read & opened


def test_no_config_names_the_reader_of_a_benchmark():
    read = {row.source["name"] for row in BENCHMARKS.values() if ":" in row.source["name"]}
    folder = pathlib.Path(configs.__file__).parent
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert not [name for name in read if name in text], path
        module = importlib.import_module(f"configs.{path.stem}")
        if hasattr(module, "get_config"):
            mixture = module.get_config().to_dict()["data"]["mixture"]
            named = {entry["source"]["name"] for entry in mixture.values()}
            assert named <= set(TRAINED_ON), path


@pytest.mark.parametrize("config", [large_1b, large_8b])
def test_a_pod_is_tuned_on_public_sets_by_arguments_that_their_readers_take(config):
    mixture = config.get_config("tune").to_dict()["data"]["mixture"]
    named = {entry["source"]["name"] for entry in mixture.values()}
    assert set(TRAINED_ON) - named == {
        *("image_folder", "labelled_folder", "shards", "samples", "coco_captions")
    }
    asked = set().union(*(entry["tasks"] for entry in mixture.values()))
    assert asked == set(TASKS)
    for entry in mixture.values():
        arguments = dict(entry["source"])
        module, attribute = sources.SOURCES[arguments.pop("name")]
        opened = getattr(importlib.import_module(module), attribute)
        inspect.signature(opened).bind(**arguments)
        turned = entry["flip"] and "referring_segmentation" in entry["tasks"]
        assert not turned, "what lies to the left would lie to the right"
