"""SA-Co/Gold: pictures with a noun phrase, every instance of which three people outlined.

Where to get it: annotations and pictures from the Hugging Face set facebook/SACo-Gold or from
Roboflow, as scripts/eval/gold/README.md of https://github.com/facebookresearch/sam3 says. Keep the
annotation files as they were released: its update_eval_files.py drops the pairs whose pictures were
not fetched, and the set is then no longer whole. Licence: SAM License.

Expected tree, for each subset of `SUBSETS`:

    ROOT/annotations/gold_SUBSET_merged_{a,b,c}_release_test.json
    ROOT/metaclip-images/FILE_NAME          (subset sa1b: ROOT/sa1b-images/FILE_NAME)

One record is one (picture, phrase) pair, those about one picture in a row; most pairs have no
instance. Scored are the pairs that file a flags as instance-exhaustive and no other file flags
otherwise (sam3/eval/cgf1_eval.py), and each of these must stand in all three files: one that an
annotator was never shown is no picture in which that annotator saw nothing. Crowd annotations are
dropped there, and here.
"""

import collections
from typing import Any

import numpy as np

from vision_banana.data import coco_masks, on_disk

# Subset -> how many pairs its files list, those that are not scored among them.
SUBSETS = {
    "metaclip": 33393,
    "sa1b": 13258,
    "crowded": 20687,
    "fg_food": 13951,
    "fg_sports_equipment": 12166,
    "attributes": 9245,
    "wiki_common": 65502,
}
ANNOTATORS = ("a", "b", "c")


def saco_gold(root: str, subset: str) -> on_disk.OnDisk:
    """Instance segmentation.

    The label holds annotator a's ids (small instances in front), which can be drawn. `words` has
    `phrase` and `annotators`, a tuple of masks (M, H, W) bool, one for each annotator in the
    files' order, which decides ties; instances may overlap and M may be 0.

    Its attribute `released` is how many pairs file a lists, scored or not.

    Raises:
      ValueError: an unknown subset, a folder that is not as above, or a scored pair that file b or
        c does not list.
    """
    if subset not in SUBSETS:
        raise ValueError(f"unknown subset {subset!r}: it must be one of {', '.join(SUBSETS)}")
    files = [
        on_disk.file(root, "annotations", f"gold_{subset}_merged_{who}_release_test.json")
        for who in ANNOTATORS
    ]
    shown = on_disk.folder(root, "sa1b-images" if subset == "sa1b" else "metaclip-images")
    tables = [on_disk.table(path) for path in files]
    flags, outlines = [], []
    for path, table in zip(files, tables, strict=True):
        with on_disk.bad_index(path):
            flags.append({row["id"]: row["is_instance_exhaustive"] for row in table["images"]})
            outlines.append(_by_pair(table["annotations"]))
    with on_disk.bad_index(files[0]):
        scored = [
            row
            for row in tables[0]["images"]
            if flags[0][row["id"]] and all(other.get(row["id"], True) for other in flags[1:])
        ]
        records = [
            on_disk.Record(
                str(row["id"]),
                on_disk.inside(shown, row["file_name"]),
                {},
                {
                    "phrase": row["text_input"],
                    "size": (row["height"], row["width"]),
                    "annotators": tuple(found.get(row["id"], ()) for found in outlines),
                },
            )
            for row in sorted(scored, key=lambda row: row["file_name"])
        ]
    for path, listed in zip(files[1:], flags[1:], strict=True):
        lacking = [row["id"] for row in scored if row["id"] not in listed]
        if lacking:
            raise ValueError(
                f"{path} lacks {len(lacking)} of {len(scored)} scored pairs, the first "
                f"{lacking[0]}: fetch it again"
            )
    return on_disk.OnDisk(
        f"saco_gold/{subset}",
        records,
        {"instance_segmentation": _instances},
        released=len(tables[0]["images"]),
    )


def _by_pair(annotations: list[dict[str, Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = collections.defaultdict(list)
    for annotation in annotations:
        if not annotation.get("iscrowd"):
            found[annotation["image_id"]].append(annotation["segmentation"])
    return found


def _instances(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    size = picture.shape[:2]
    if tuple(record.entry["size"]) != size:
        raise ValueError(f"the picture is {size} and the annotations say {record.entry['size']}")
    annotators = tuple(
        np.stack([coco_masks.decode(s, size) for s in outlines])
        if outlines
        else np.zeros((0, *size), bool)
        for outlines in record.entry["annotators"]
    )
    ids = coco_masks.number(annotators[0], size)
    words = {"phrase": record.entry["phrase"], "annotators": annotators}
    return ids, np.ones(size, bool), words
