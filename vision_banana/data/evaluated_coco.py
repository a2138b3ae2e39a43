"""Which of COCO's pictures are evaluated on and must not be trained on.

    python -m vision_banana.data.evaluated_coco --refcocog /data/refcocog \
        --reasonseg /data/reasonseg --output evaluated_coco.json

RefCOCOg's pictures are COCO's own, and their ids tell which. ReasonSeg's come from elsewhere, but
COCO's were taken from Flickr too: a name that begins with the number of a photograph on Flickr
(OpenImages' names do) is compared with COCO's `flickr_url`, and a name that is COCO's own with its
ids. Of RefCOCOg every split but train is listed, of ReasonSeg every split but train that is there
(val must be). The sample pictures of COCO that are held out (`sample_splits`) are on every list.
Every source made from COCO asks for the list, and drops what is on it.
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vision_banana import _bad_input
from vision_banana.data import on_disk, refcocog, sample_splits

_COCO_NAME = re.compile(r"(?:COCO_(?:train|val|test)20\d\d_)?0*(\d+)", re.ASCII)
_COCO_DIGITS = 12
_PHOTOGRAPH = re.compile(r"(\d{5,})_[0-9a-f]+(?:_[a-z])?", re.ASCII)


class Evaluated(NamedTuple):
    """Pictures that are evaluated on.

    Attributes:
      image_ids: of COCO.
      photographs: their numbers on Flickr.
    """

    image_ids: frozenset[int]
    photographs: frozenset[str]

    def has(self, image: Mapping[str, Any]) -> bool:
        """Whether a row of COCO's table of images is one of them."""
        if image["id"] in self.image_ids:
            return True
        found = _PHOTOGRAPH.match(str(image.get("flickr_url", "")).rpartition("/")[2])
        return bool(found) and found[1] in self.photographs  # type: ignore[index]


def find(refcocog_root: str, reasonseg_root: str) -> Evaluated:
    """Collects them from the benchmarks' folders, as their readers expect them."""
    listed = on_disk.file(refcocog_root, "refcocog", "refs(umd).p")
    refs = refcocog.read_refs(str(listed))
    with on_disk.bad_index(listed):
        ids = {int(ref["image_id"]) for ref in refs if ref["split"] != "train"}
    photographs = set()
    on_disk.folder(reasonseg_root, "val")
    for path in pathlib.Path(reasonseg_root).glob("*/*.jpg"):
        if path.parent.name == "train":
            continue
        own = _COCO_NAME.fullmatch(path.stem)
        if own and len(path.stem.rpartition("_")[2]) == _COCO_DIGITS:
            ids.add(int(own[1]))
        if found := _PHOTOGRAPH.fullmatch(path.stem):
            photographs.add(found[1])
    return Evaluated(frozenset(ids), frozenset(photographs))


def save(evaluated: Evaluated, path: str) -> None:
    """Writes a list."""
    row = {
        "image_ids": sorted(evaluated.image_ids),
        "photographs": sorted(evaluated.photographs),
    }
    pathlib.Path(path).write_text(json.dumps(row), "utf-8")


def load(path: str) -> Evaluated:
    """Reads a list, and adds the sample pictures that are held out.

    Raises:
      ValueError: it is missing, none, or empty of COCO's ids.
    """
    if not pathlib.Path(path).is_file():
        raise ValueError(
            f"{path!r} is not there: list the evaluated pictures with python -m "
            "vision_banana.data.evaluated_coco, so that no source made from COCO trains on them"
        )
    row = on_disk.table(pathlib.Path(path))
    if not isinstance(row, dict) or not row.get("image_ids"):
        raise ValueError(f"{path} lists no image_ids: make it again")
    image_ids = sample_splits.HELD_OUT_COCO.union(row["image_ids"])
    return Evaluated(image_ids, frozenset(row.get("photographs", ())))


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = _bad_input.Parser(description=__doc__)
    parser.add_argument("--refcocog", required=True, help="see data/refcocog.py")
    parser.add_argument("--reasonseg", required=True, help="see data/reasonseg.py")
    parser.add_argument("--output", required=True, help="the list, a JSON file")
    asked = parser.parse_args(argv)
    with _bad_input.exits("evaluated_coco"):
        evaluated = find(asked.refcocog, asked.reasonseg)
        save(evaluated, asked.output)
    print(
        f"{asked.output}: {len(evaluated.image_ids)} ids of COCO, "
        f"{len(evaluated.photographs)} photographs on Flickr"
    )


if __name__ == "__main__":
    main()
