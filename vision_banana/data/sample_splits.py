"""Which records of the sample sets are trained on and which are held out, fixed here for good.

Split by what a picture shows, never by record: frames of one room or sequence, captions of one
picture and questions about it lie in one split, so nothing is tested on its own training pictures.
"""

import zlib

SPLITS = ("train", "heldout")

# Sets of few scenes: how the names of the held-out records begin. Of ICL-NUIM, three frames of one
# room, nothing is trained on.
_SCENES: dict[str, tuple[str, ...]] = {
    "tum_rgbd": ("fr3_cabinet",),
    "icl_nuim": ("",),
    "cleargrasp": ("syn_000000002",),
    "cleargrasp_real": ("real_000000123",),
    "comma10k": ("0004", "0007", "0010"),
}
# Oxford-IIIT Pet numbers a breed's pictures album by album, and one animal has several of them (so
# much so that some are nearly the same picture): the last numbers are held out, not every fifth.
_FIRST_HELD_OUT_PET = 165
# Of COCO one picture in five, and those that reports show (evaluation/photos).
_HELD_OUT_SHARE = 5
_SHOWN = ("471", "84477", "175364")
# The ids of what is held out of both sets of COCO's pictures: every source that is made from COCO
# itself drops them (`evaluated_coco`).
HELD_OUT_COCO = frozenset({
    308, 436, 471, 790, 3553, 5001, 30504, 37751, 39551, 50811, 54164, 79014, 80153, 80671, 84477,
    89078, 148739, 166918, 168974, 174632, 175364, 179112, 187362, 190007, 193674, 220584, 229553,
    230819, 231460, 233370, 248752, 252219, 253819, 253955, 257896, 261732, 270908, 278528, 288042,
    289222, 315492, 331352, 340894, 345252, 349184, 358083, 360461, 366711, 378244, 410880, 415536,
    415882, 473869, 488710, 489339, 490515, 500716, 516008, 520910, 525891, 544519, 563349,
})  # fmt: skip


def split_of(dataset: str, name: str) -> str:
    """The split that a record belongs to.

    Args:
      dataset: a key of `samples.SETS`.
      name: the record's name in it ("fr1_rpy_03", "Bengal_21", "84477/3").

    Returns:
      "train" or "heldout".

    Raises:
      ValueError: a set that has not been split.
    """
    if dataset in _SCENES:
        held = name.startswith(_SCENES[dataset])
    elif dataset == "pets":
        held = int(name.rpartition("_")[2]) >= _FIRST_HELD_OUT_PET
    elif dataset in ("coco", "coco_captions"):
        picture = name.partition("/")[0]
        held = picture in _SHOWN or zlib.crc32(picture.encode()) % _HELD_OUT_SHARE == 0
    else:
        raise ValueError(f"sample set {dataset!r} has not been split: say in {__name__} how")
    return SPLITS[held]
