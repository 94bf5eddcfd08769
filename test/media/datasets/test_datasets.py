# SPDX-License-Identifier: Apache-2.0
"""Data sets of `dinoiser segment --save`, read back with the libraries that people train with."""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media import command
from dinoiser_ros.media.datasets import cityscapes
from dinoiser_ros.media.datasets.coco import run_lengths
from dinoiser_ros.media.settings import DATASETS

SIZES = {"a": (30, 50), "b": (41, 23), "deep/c": (30, 50)}  # height, width


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With pictures in in/: a JPEG, one that its camera turned, and a grey one of 16 bits."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    spots = {
        name: np.asarray(
            Image.fromarray(rng.integers(0, 256, (4, 6), np.uint8)).resize((width, height))
        )
        for name, (height, width) in SIZES.items()
    }
    Image.fromarray(spots["a"]).convert("RGB").save(tmp_path / "in" / "a.jpg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6
    side = Image.fromarray(np.rot90(spots["b"])).convert("RGB")
    side.save(tmp_path / "in" / "b.png", exif=turned)
    Image.fromarray(spots["deep/c"].astype(np.uint16) * 257).save(tmp_path / "in" / "deep/c.png")
    return tmp_path


def save(segmenter, folder: Path, *formats: str, more: tuple[str, ...] = ()) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    arguments = [str(folder / "in"), "-o", str(folder / "out"), "--save", *formats, *more]
    options = parser.parse_args([*arguments, "-p", "road", "sky"])
    return command.run(options, lambda: segmenter)


def labels(folder: Path, name: str) -> np.ndarray:
    found = np.asarray(Image.open(folder / "out" / f"{name}_labels.png"))
    assert found.shape == SIZES[name] and set(np.unique(found)) == {0, 1}
    return found


def test_labels_are_kept_and_every_data_set_says_where_it_is_from(folder, quick, capsys):
    formats = [name for name in DATASETS if name != "parquet" or find_spec("pyarrow")]
    assert save(quick, folder, *formats) == 0
    for name in formats:
        record = json.loads((folder / "out" / f"dataset-{name}" / "dinoiser.json").read_text())
        assert record["classes"] == record["prompts"] == ["road", "sky"]
    assert not list(folder.glob("out/*_overlay.png")) and list(folder.glob("out/a_labels.png"))
    assert not capsys.readouterr().err


def images_match(folder: Path, root: Path, files: dict[str, str]) -> None:
    """The pictures have the size of their labels; the JPEG is the one that was given."""
    for name, file in files.items():
        assert Image.open(root / file).size == SIZES[name][::-1]
    assert (root / files["a"]).read_bytes() == (folder / "in" / "a.jpg").read_bytes()


def test_run_lengths_are_read_by_pycocotools(folder, quick):
    coco = pytest.importorskip("pycocotools.coco")
    assert save(quick, folder, "coco-rle") == 0
    root = folder / "out" / "dataset-coco-rle"
    data = coco.COCO(str(root / "annotations" / "instances.json"))
    assert [c["name"] for c in data.loadCats(data.getCatIds())] == ["road", "sky"]
    images = data.loadImgs(data.getImgIds())
    by_name = {str(Path(entry["file_name"]).with_suffix("")): entry for entry in images}
    images_match(folder, root / "images", {n: e["file_name"] for n, e in by_name.items()})
    for name in SIZES:
        truth = labels(folder, name)
        found = data.loadAnns(data.getAnnIds(imgIds=[by_name[name]["id"]]))
        assert [a["category_id"] for a in found] == [1, 2]
        for annotation in found:
            mask = data.annToMask(annotation)
            np.testing.assert_array_equal(mask, truth == annotation["category_id"] - 1)
            assert annotation["area"] == mask.sum()
            rle = data.annToRLE(annotation)
            assert list(coco.maskUtils.toBbox(rle)) == annotation["bbox"]
    assert data.dataset["info"]["prompts"] == ["road", "sky"]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_run_lengths_give_the_mask_again(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    found = run_lengths(mask)
    assert found["size"] == [height, width]
    values = np.arange(len(found["counts"])) % 2
    flat = np.repeat(values, found["counts"]).astype(bool)
    np.testing.assert_array_equal(flat.reshape((height, width), order="F"), mask)
    assert 0 not in found["counts"][1:]


def test_coco_panoptic(folder, quick):
    assert save(quick, folder, "coco-panoptic") == 0
    root = folder / "out" / "dataset-coco-panoptic"
    content = json.loads((root / "annotations" / "panoptic.json").read_text())
    assert {c["id"]: c["name"] for c in content["categories"]} == {1: "road", 2: "sky"}
    names = {entry["id"]: entry["file_name"] for entry in content["images"]}
    files = {str(Path(name).with_suffix("")): name for name in names.values()}
    images_match(folder, root / "images", files)
    for annotation in content["annotations"]:
        name = str(Path(names[annotation["image_id"]]).with_suffix(""))
        truth = labels(folder, name)
        colours = np.asarray(Image.open(root / "panoptic" / annotation["file_name"])).astype(int)
        ids = colours @ [1, 256, 65536]
        for segment in annotation["segments_info"]:
            mask = ids == segment["id"]
            np.testing.assert_array_equal(mask, truth == segment["category_id"] - 1)
            assert segment["area"] == mask.sum()
        assert set(np.unique(ids)) == {segment["id"] for segment in annotation["segments_info"]}


def test_pixels_without_a_class_are_void(tmp_path):
    from dinoiser_ros.media.datasets.coco import write_panoptic
    from dinoiser_ros.media.datasets.sample import Provenance, Sample

    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / "a.png")
    for kind, void, classes in ((np.uint8, 255, 3), (np.uint16, 65535, 300)):
        ids = np.array([[void, 0, 2], [void, 2, 2]], kind)
        Image.fromarray(ids).save(tmp_path / "a_labels.png")
        origin = Provenance([f"class {n}" for n in range(classes)], {})
        sample = Sample(tmp_path / "a.png", "a", tmp_path / "a_labels.png")
        write_panoptic(tmp_path / kind.__name__, [sample], origin)
        found = np.asarray(Image.open(tmp_path / kind.__name__ / "panoptic" / "a.png"))
        np.testing.assert_array_equal(found[..., 0], [[0, 1, 3], [0, 3, 3]])
        assert not found[..., 1:].any()


def test_cityscapes_is_read_by_torchvision(folder, quick):
    assert save(quick, folder, "cityscapes") == 0
    root = folder / "out" / "dataset-cityscapes"
    torchvision = pytest.importorskip("torchvision")
    data = torchvision.datasets.Cityscapes(str(root), "train", "fine", target_type="semantic")
    assert len(data) == 3
    for number, (image, target) in enumerate(data):
        assert image.size == target.size
        city, name = Path(data.images[number]).parts[-2:]
        name = name.removesuffix("_leftImg8bit.png")
        truth = labels(folder, f"deep/{name}" if city == "deep" else name)
        ids = np.array([7, 23])
        np.testing.assert_array_equal(np.asarray(target), ids[truth])
        train = Path(data.targets[number][0].replace("labelIds", "labelTrainIds"))
        np.testing.assert_array_equal(np.asarray(Image.open(train)), np.array([0, 10])[truth])


def test_the_train_ids_are_the_order_of_the_benchmark():
    from dinoiser_ros.evaluation.datasets.class_names import class_names

    names = class_names("cityscapes")
    assert [cityscapes.LABELS[name][1] for name in names] == list(range(19))


def test_classes_that_cityscapes_lacks_are_refused_before_anything_is_segmented(folder, quick):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    arguments = [str(folder / "in"), "-o", str(folder / "out"), "--save", "cityscapes"]
    options = parser.parse_args([*arguments, "-p", "road", "unicorn"])
    with pytest.raises(MediaError, match="Cityscapes has no class unicorn: name prompts after"):
        command.run(options, lambda: quick)
    assert not (folder / "out").exists()


def test_yolo_polygons_cover_the_regions(folder, quick):
    cv2 = pytest.importorskip("cv2")
    assert save(quick, folder, "yolo-seg") == 0
    root = folder / "out" / "dataset-yolo-seg"
    about = yaml.safe_load((root / "data.yaml").read_text())
    assert about["names"] == {0: "road", 1: "sky"}
    for name, (height, width) in SIZES.items():
        truth = labels(folder, name)
        (picture,) = (root / about["train"]).glob(f"{name}.*")
        assert Image.open(picture).size == (width, height)
        drawn = np.zeros((2, height, width), np.uint8)
        for line in (root / "labels" / "train" / f"{name}.txt").read_text().splitlines():
            kind, *numbers = line.split()
            corners = np.array(numbers, float).reshape(-1, 2)
            assert corners.min() >= 0 and corners.max() <= 1
            points = np.round(corners * (width, height) - 0.5).astype(np.int32)
            cv2.fillPoly(drawn[int(kind)], [points], 1)
        for kind in range(2):
            region = truth == kind
            assert (drawn[kind][region]).mean() > 0.98, "but for specks of two pixels"


def test_parquet_is_read_by_datasets(folder, quick, tmp_path):
    datasets = pytest.importorskip("datasets")
    assert save(quick, folder, "parquet") == 0
    files = str(folder / "out" / "dataset-parquet" / "*.parquet")
    data = datasets.load_dataset("parquet", data_files=files, cache_dir=tmp_path / "hf")["train"]
    assert isinstance(data.features["image"], datasets.Image)
    assert sorted(data["name"]) == sorted(SIZES)
    for row in data:
        np.testing.assert_array_equal(np.asarray(row["labels"]), labels(folder, row["name"]))
        assert row["image"].size == row["labels"].size
    parquet = pytest.importorskip("pyarrow.parquet")
    told = parquet.read_schema(folder / "out" / "dataset-parquet" / "00000.parquet").metadata
    assert json.loads(told[b"dinoiser_ros"])["classes"] == ["road", "sky"]


def test_a_second_run_replaces_its_own_data_set_and_nothing_else(folder, quick, capsys):
    assert save(quick, folder, "coco-rle") == 0
    assert save(quick, folder, "coco-rle") == 0
    place = folder / "out" / "dataset-coco-rle"
    (place / "dinoiser.json").unlink()
    with pytest.raises(MediaError, match="is a folder of other files: move it"):
        save(quick, folder, "coco-rle")
    assert (place / "annotations" / "instances.json").is_file()


def test_what_is_no_picture_is_said_to_be_in_no_data_set(folder, quick, capsys):
    frames = [Image.new("RGB", (20, 10), (90 * n, 0, 0)) for n in range(3)]
    frames[0].save(folder / "in" / "moving.gif", save_all=True, append_images=frames[1:])
    assert save(quick, folder, "coco-rle") == 0
    assert "1 of the inputs are in no data set: only pictures are" in capsys.readouterr().err
    path = folder / "out" / "dataset-coco-rle" / "annotations" / "instances.json"
    assert len(json.loads(path.read_text())["images"]) == 3


def test_two_pictures_of_one_name_are_refused(folder, quick, capsys):
    (folder / "in" / "x_y").mkdir()
    (folder / "in" / "x" / "y").mkdir(parents=True)
    for place in ("x_y", "x/y"):
        Image.new("RGB", (9, 9), (200, 0, 0)).save(folder / "in" / place / "a.png")
    assert save(quick, folder, "cityscapes") == 1
    assert "two pictures would be called x_y/a: rename a folder" in capsys.readouterr().err
    assert not (folder / "out" / "dataset-cityscapes").exists()
