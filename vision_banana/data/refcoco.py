"""RefCOCO and RefCOCO+: sentences about regions of COCO pictures, to train on.

Where to get it: the archived copies of `refcoco.zip` and `refcoco+.zip` that LISA's README links
to, and COCO's `train2014.zip`. Licence: the refer API is Apache-2.0, pictures under COCO's terms.

Expected tree (LISA's `refer_seg`, as for RefCOCOg):

    ROOT/refcoco/refs(unc).p, instances.json
    ROOT/refcoco+/refs(unc).p, instances.json
    ROOT/images/mscoco/images/train2014/COCO_train2014_000000000001.jpg

Their train split shares pictures with RefCOCOg's val and test splits: those are dropped by the list
of `evaluated_coco`, which has no default.
"""

from vision_banana.data import evaluated_coco, on_disk, refcocog

DATASETS = ("refcoco", "refcoco+")


def refcoco(root: str, dataset: str, evaluated: str, split: str = "train") -> on_disk.OnDisk:
    """Referring segmentation with one expression a record, of one of `DATASETS`."""
    if dataset not in DATASETS:
        raise ValueError(f"unknown set {dataset!r}: it must be one of {', '.join(DATASETS)}")
    listed = evaluated_coco.load(evaluated)
    records = refcocog.sentences(root, dataset, "refs(unc).p", split, listed.has)
    return on_disk.OnDisk(
        f"{dataset}/{split}", records, {"referring_segmentation": refcocog.region}
    )
