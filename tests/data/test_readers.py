import io
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from configs import image_text
from vision_banana import train
from vision_banana.data import image_folder, samples, source, tfds_captions


def _png(value, size=(4, 3)):
    file = io.BytesIO()
    Image.new("RGB", size, (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


# Folders of pictures with captions.


def test_folder_with_text_files(tmp_path):
    for name, value in (("b", 51), ("a", 102), ("c", 0)):
        (tmp_path / f"{name}.png").write_bytes(_png(value))
    (tmp_path / "a.txt").write_text("a picture of a\n")
    (tmp_path / "b.txt").write_text("b")
    folder = image_folder.ImageFolder(str(tmp_path))
    assert len(folder) == 3 and folder.tasks == ("image_generation",)
    first = folder.example(0, "image_generation")
    assert first.words == {"caption": "a picture of a", "objects": (), "relations": ()}
    assert first.references == () and first.valid.all() and first.valid.shape == (3, 4)
    np.testing.assert_allclose(first.label[..., 0], 0.4, atol=1e-6)
    np.testing.assert_allclose(folder.example(1, "image_generation").label[0, 0], [0.2, 0, 0])
    with pytest.raises(source.BadRecord, match=r"c\.png.*no caption"):
        folder.example(2, "image_generation")
    with pytest.raises(ValueError, match=r"cannot answer 'depth'"):
        folder.example(0, "depth")


@pytest.mark.parametrize("table", ["captions.jsonl", "metadata.jsonl"])
def test_folder_with_a_table(tmp_path, table):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jpg").write_bytes(_png(1))
    (tmp_path / "b.png").write_bytes(_png(2)[:40])
    rows = [
        {"file_name": "deep/a.jpg", "text": ["one", "two"]},
        {"file_name": "b.png", "caption": "three"},
    ]
    (tmp_path / table).write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    folder = image_folder.ImageFolder(str(tmp_path))
    with pytest.raises(source.BadRecord, match=r"b\.png.*unreadable picture"):
        folder.example(0, "image_generation")
    captions = [folder.example(i, "image_generation").words["caption"] for i in (1, 2)]
    assert captions == ["one", "two"] and len(folder) == 3


def test_folder_errors(tmp_path):
    with pytest.raises(ValueError, match=r"is not a folder"):
        image_folder.ImageFolder(str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"has no pictures"):
        image_folder.ImageFolder(str(tmp_path))
    (tmp_path / "a.png").write_bytes(_png(1))
    (tmp_path / "captions.jsonl").write_text('{"file_name": "a.png", "text": "x"}\n{"text": 1}\n')
    with pytest.raises(ValueError, match=r"captions\.jsonl, line 2"):
        image_folder.ImageFolder(str(tmp_path))


# Captioned sets of TensorFlow Datasets.


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    """A set of 5 captioned pictures in ArrayRecord, written without TensorFlow."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class TinyCaptions(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "picture": tfds.features.Image(shape=(None, None, 3)),
                "captions": tfds.features.Sequence({"text": tfds.features.Text()}),
                "title": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(5):
                texts = [{"text": f"first {i}"}, {"text": f"second {i}"}]
                title = f"title {i}" if i else " "
                yield i, {"picture": _png(i * 51), "captions": texts, "title": title}

    folder = tmp_path_factory.mktemp("tfds")
    TinyCaptions(data_dir=folder, file_format="array_record").download_and_prepare()
    return {"dataset": "tiny_captions", "data_dir": str(folder), "image": "picture"}


def test_captioned_set_without_tensorflow(tiny_set):
    read = tfds_captions.TfdsCaptions(**tiny_set, caption="title")
    assert len(read) == 5
    seen = set()
    for index in range(5):
        try:
            example = read.example(index, "image_generation")
        except source.BadRecord as e:
            assert e.reason == "no caption"
            continue
        number = round(float(example.label[0, 0, 0]) * 5)
        assert example.words["caption"] == f"title {number}"
        assert example.label.shape == (3, 4, 3)
        seen.add(number)
    assert seen == {1, 2, 3, 4}
    assert "tensorflow" not in sys.modules


def test_captioned_set_with_several_captions(tiny_set):
    read = tfds_captions.TfdsCaptions(**tiny_set, caption="captions/text", captions_per_picture=2)
    assert len(read) == 10
    texts = [read.example(i, "image_generation").words["caption"] for i in range(10)]
    assert {t.split()[0] for t in texts[::2]} == {"first"}
    assert [t.split()[1] for t in texts[::2]] == [t.split()[1] for t in texts[1::2]]
    assert len(set(texts)) == 10


def test_captioned_set_errors(tiny_set):
    with pytest.raises(ValueError, match=r"has no feature caption: it has .*title"):
        tfds_captions.TfdsCaptions(**tiny_set)
    limited = tfds_captions.TfdsCaptions(**tiny_set, caption="captions/text", max_pixels=11)
    with pytest.raises(source.BadRecord, match=r"12 pixels"):
        limited.example(0, "image_generation")


def test_a_generator_trains_on_a_captioned_set_without_tensorflow(tiny_set, tmp_path):
    config = image_text.get_config("tfds").to_dict()
    config["model"] |= {"size": "nano", "dtype": "float32"}
    config["data"] |= {"size": 16, "groups": 8, "queries": 1}
    config["data"]["mixture"]["captions"]["source"] |= {**tiny_set, "caption": "captions/text"}
    config |= {"steps": 2, "log_every": 1}
    train.train(config, str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[1]["loss/image_generation"] != lines[0]["loss/image_generation"]
    assert "tensorflow" not in sys.modules


# The real samples.


def _samples(name):
    if not os.environ.get(samples.VARIABLE):
        pytest.skip(f"{samples.VARIABLE} is not set: it names the folder of the sample sets")
    return samples.Samples(name)


def test_an_unknown_set_or_folder_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"unknown sample set 'tum'"):
        samples.Samples("tum")
    with pytest.raises(ValueError, match=r"is not a folder"):
        samples.Samples("tum_rgbd", str(tmp_path))
    monkeypatch.delenv(samples.VARIABLE, raising=False)
    with pytest.raises(ValueError, match=samples.VARIABLE):
        samples.Samples("tum_rgbd")


@pytest.mark.parametrize("name", samples.SETS)
def test_every_set_gives_examples_of_every_task(name):
    read = _samples(name)
    for index in (0, len(read) - 1):
        for task in read.tasks:
            example = read.example(index, task)
            H, W = example.valid.shape
            assert example.valid.dtype == bool and example.valid.mean() > 0.3
            assert example.task == task and example.key.startswith(f"samples/{name}/")
            picture = example.references[0] if example.references else example.label
            assert picture.shape == (H, W, 3) and picture.dtype == np.float32
            assert 0 <= picture.min() < picture.max() <= 1
            axis = 1 if task == "referring_segmentation" else 0
            assert example.label.shape[axis : axis + 2] == (H, W)
    with pytest.raises(ValueError, match=r"cannot answer"):
        read.example(0, "image_editing")


@pytest.mark.parametrize("name", ["tum_rgbd", "icl_nuim", "cleargrasp"])
def test_depth_is_in_metres_as_the_set_says(name):
    read = _samples(name)
    folder = samples.SETS[name][0]
    table = json.loads(
        (samples.pathlib.Path(os.environ[samples.VARIABLE]) / folder / "dev/meta.json").read_text()
    )
    table = {row["name"]: row for row in table}
    for index in range(min(len(read), 3)):
        example = read.example(index, "depth")
        row = table[example.key.rpartition("/")[2]]
        known = example.label[example.valid]
        assert known.max() == pytest.approx(row["zmax"], abs=0.002)
        assert np.median(known) == pytest.approx(row["zmed"], abs=0.02)
        assert (example.label[~example.valid] == 0).all()
        if "valid" in row:
            assert example.valid.mean() == pytest.approx(row["valid"], abs=0.01)


@pytest.mark.parametrize("name", ["cleargrasp", "cleargrasp_real"])
def test_normals_are_unit_and_face_the_camera(name):
    read = _samples(name)
    for index in range(len(read)):
        example = read.example(index, "surface_normals")
        n = example.label[example.valid]
        np.testing.assert_allclose(np.linalg.norm(n, axis=-1), 1, atol=1e-5)
        assert (n[:, 2] > -0.1).mean() > 0.99
        # The table that things stand on, seen from above, is the largest part: it points up.
        assert np.median(n[:, 1]) > 0.2
        assert (example.label[~example.valid] == 0).all()


def test_cleargrasp_instances():
    example = _samples("cleargrasp").example(0, "instance_segmentation")
    assert np.unique(example.label).tolist() == [0, 100, 101, 102, 103, 104]


def test_driving_labels():
    read = _samples("comma10k")
    example = read.example(0, "semantic_segmentation")
    assert example.words["classes"][:2] == ("road", "lane marking")
    assert example.words["class_ids"] == (1, 2, 3, 4, 5, 6) and example.words["num_classes"] == 7
    rows = np.arange(example.label.shape[0])
    road = rows[(example.label == 0).any(1)]
    assert road.mean() > example.label.shape[0] / 2  # the road is below the middle
    assert (example.label[~example.valid] == 255).all()


def test_coco_instances_and_classes_agree():
    read = _samples("coco")
    for index in range(0, len(read), 20):
        one = read.example(index, "instance_segmentation")
        every = read.example(index, "semantic_segmentation")
        name = one.words["phrase"]
        place = every.words["classes"].index(name)
        assert (one.label > 0).any()
        # Of the pixels of its class, a class has those that nothing in front covers.
        covered = every.label[one.label > 0]
        assert (covered == place).mean() > 0.5
        assert len(every.words["class_ids"]) == len(every.words["classes"])
        assert every.words["num_classes"] == 91


def test_pets_border_is_unknown():
    read = _samples("pets")
    example = read.example(0, "referring_segmentation")
    assert example.words["expressions"] == ("the cat",) and example.label.shape[0] == 1
    assert 0.02 < 1 - example.valid.mean() < 0.4
    assert not example.label[0][~example.valid].any()
    caption = read.example(0, "image_generation").words["caption"]
    assert caption == "a photo of a abyssinian cat"


def test_reading_is_pure():
    read = _samples("pets")
    first = read.example(3, "image_generation").label
    np.testing.assert_array_equal(
        samples.Samples("pets").example(3, "image_generation").label, first
    )


@pytest.mark.parametrize("dataset", ["laion400m/images", "no_such_set"])
def test_a_set_that_is_not_prepared_is_named(tmp_path, dataset):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(ValueError, match=rf"set {dataset} in data_dir={tmp_path}; prepare it"):
        tfds_captions.TfdsCaptions(dataset, data_dir=str(tmp_path))
