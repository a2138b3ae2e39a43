"""ImgEdit-Bench, basic part: 737 edits of pictures, in nine types.

Where to get it: `basic_edit.json` from https://github.com/PKU-YuanGroup/ImgEdit
(Benchmark/Basic), the pictures from `Benchmark.tar` of the Hugging Face set sysuyy/ImgEdit.
Licence: Apache-2.0 (code); the pictures' terms are not stated.

Expected tree (names as in the authors' basic_bench_readme.md):

    ROOT/basic_edit.json                {"1082": {"id": "animal/000342021.jpg", "prompt": ...,
                                        "edit_type": ...}, ...}
    ROOT/original_images/animal/000342021.jpg

There is no true picture: label and `valid` say so. The authors' scripts look for answers named
KEY.png.
"""

from vision_banana.data import on_disk


def imgedit(root: str) -> on_disk.OnDisk:
    """Image editing; `words` has `instruction` and `edit_type`."""
    listed = on_disk.file(root, "basic_edit.json")
    edits = on_disk.table(listed)
    shown = on_disk.folder(root, "original_images")
    with on_disk.bad_index(listed):
        records = [
            on_disk.Record(
                key,
                on_disk.inside(shown, row["id"]),
                {},
                {"instruction": row["prompt"], "edit_type": row["edit_type"]},
            )
            for key, row in edits.items()
        ]
    return on_disk.OnDisk("imgedit", records, {"image_editing": on_disk.unreleased})
