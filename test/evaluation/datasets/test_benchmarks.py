# SPDX-License-Identifier: Apache-2.0
"""The eight public benchmarks: names, prompts, and files against rules written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_fakes import (
    save_labels,
    save_picture,
    write_ade,
    write_cityscapes,
    write_coco,
    write_context,
    write_list,
    write_voc,
)
from paths import ROOT
from PIL import Image

from dinoiser_ros.errors import EvaluationError
from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS, PUBLIC
from dinoiser_ros.evaluation.reports.published import DINOISER
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts

COUNTS = {
    "voc20": 20,
    "voc": 21,
    "context59": 59,
    "context60": 60,
    "coco-object": 81,
    "coco-stuff": 171,
    "cityscapes": 19,
    "ade20k": 150,
    "sim": 18,
    "sim-background": 11,
}
WITH_BACKGROUND = {"voc", "context60", "coco-object", "sim-background"}
FILTERED = {"voc", "coco-object", "sim-background"}


def zero_is_not_counted(ids):
    return [255 if i in (0, 255) else i - 1 for i in ids]


def unchanged(ids):
    return list(ids)


def things_and_background(ids):
    return [i + 1 if i < 80 else 0 for i in ids]


# Benchmark: how its files are made, where below --data, and what their ids mean.
FILES = {
    "voc20": (write_voc, "VOCdevkit/VOC2012", zero_is_not_counted),
    "voc": (write_voc, "VOCdevkit/VOC2012", unchanged),
    "context59": (write_context, "VOCdevkit/VOC2010", zero_is_not_counted),
    "context60": (write_context, "VOCdevkit/VOC2010", unchanged),
    "coco-object": (write_coco, "coco_stuff164k", things_and_background),
    "coco-stuff": (write_coco, "coco_stuff164k", unchanged),
    "cityscapes": (write_cityscapes, "cityscapes", unchanged),
    "ade20k": (write_ade, "ade/ADEChallengeData2016", zero_is_not_counted),
}


def test_there_are_eight_public_benchmarks():
    assert set(PUBLIC) == set(FILES) == set(DINOISER.scores)
    assert set(BENCHMARKS) == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_classes(name):
    benchmark = BENCHMARKS[name]
    assert len(benchmark.classes) == COUNTS[name]
    assert (benchmark.classes[0] == "background") == (name in WITH_BACKGROUND)
    assert benchmark.filter_background == (name in FILTERED)
    cleaned, classes = parse_prompts(benchmark.classes)
    assert cleaned == benchmark.classes, "names are prompts as they are"
    assert all(entry.phrases == (entry.name,) for entry in classes), "no name has a special mark"


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("voc20", {0: "aeroplane", 14: "person", 19: "tvmonitor"}),
        ("voc", {0: "background", 1: "aeroplane", 15: "person", 20: "tvmonitor"}),
        ("context59", {0: "aeroplane", 1: "bag", 36: "person", 58: "wood"}),
        ("coco-object", {1: "person", 2: "bicycle", 80: "toothbrush"}),
        ("coco-stuff", {0: "person", 79: "toothbrush", 80: "banner", 170: "wood"}),
        ("cityscapes", {0: "road", 10: "sky", 11: "person", 18: "bicycle"}),
        ("ade20k", {0: "wall", 12: "person", 20: "car", 149: "flag"}),
    ],
)
def test_names_have_the_ids_of_the_data_sets(name, some):
    assert {index: BENCHMARKS[name].classes[index] for index in some} == some


@pytest.mark.parametrize("name", FILES)
def test_reader_against_its_rule(name, tmp_path):
    write, place, rule = FILES[name]
    truths = write(tmp_path / place)
    for folder in (tmp_path, tmp_path / place):
        samples = BENCHMARKS[name].samples(folder)
        assert [sample.name for sample in samples] == list(truths)
        for sample in samples:
            loaded, truth = sample.load(), truths[sample.name]
            assert loaded.rgb.shape == (*truth.shape, 3) and loaded.rgb.dtype == np.uint8
            assert loaded.labels.shape == truth.shape and loaded.labels.dtype == np.uint8
            assert loaded.labels.ravel().tolist() == rule(truth.ravel().tolist())


@pytest.mark.parametrize("name", FILES)
def test_a_missing_folder_is_said(name, tmp_path):
    with pytest.raises(EvaluationError, match="--data") as error:
        BENCHMARKS[name].samples(tmp_path / "nothing")
    assert FILES[name][1].split("/")[-1] in str(error.value)


def first_label(name, root):
    """The label file of the first sample of small data, by the layout's own rule."""
    write, place, _ = FILES[name]
    write(root / place)
    pattern = {"coco": "*_labelTrainIds.png", "city": "*/*_labelTrainIds.png"}.get(name[:4], "*")
    folders = {
        "voc": "SegmentationClass",
        "con": "SegmentationClassContext",
        "coc": "annotations/val2017",
        "cit": "gtFine/val",
        "ade": "annotations/validation",
    }
    return min((root / place / folders[name[:3]]).glob(pattern))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_label_is_said_with_how_to_get_it(name, tmp_path):
    path = first_label(name, tmp_path)
    path.unlink()
    with pytest.raises(EvaluationError, match="make them with|fetch") as error:
        BENCHMARKS[name].samples(tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_a_label_of_another_size_is_said(name, tmp_path):
    path = first_label(name, tmp_path)
    save_labels(path, np.ones((3, 4)))
    with pytest.raises(EvaluationError, match="has 4 x 3 pixels") as error:
        BENCHMARKS[name].samples(tmp_path)[0].load()
    assert path.name in str(error.value)


@pytest.mark.parametrize("name", sorted(set(FILES) - {"coco-object"}))
def test_an_id_that_does_not_exist_is_said(name, tmp_path):
    path = first_label(name, tmp_path)
    ids = np.asarray(Image.open(path)).copy()
    ids[0, 0] = 222
    save_labels(path, ids)
    with pytest.raises(EvaluationError, match="id 222"):
        BENCHMARKS[name].samples(tmp_path)[0].load()


def test_raw_coco_labels_under_the_wrong_name_are_noticed(tmp_path):
    path = first_label("coco-object", tmp_path)
    save_labels(path, np.full((14, 13), 181))
    with pytest.raises(EvaluationError, match="id 181"):
        BENCHMARKS["coco-object"].samples(tmp_path)[0].load()


def test_a_list_that_names_a_missing_picture(tmp_path):
    write_voc(tmp_path)
    write_list(tmp_path / "ImageSets" / "Segmentation" / "val.txt", ["2007_000", "lost"])
    with pytest.raises(EvaluationError, match="names lost"):
        BENCHMARKS["voc20"].samples(tmp_path)


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_list(content, tmp_path):
    write_voc(tmp_path)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text(content)
    with pytest.raises(EvaluationError, match="is empty"):
        BENCHMARKS["voc"].samples(tmp_path)


def test_no_list_and_no_pictures(tmp_path):
    write_voc(tmp_path)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(EvaluationError, match="cannot be read"):
        BENCHMARKS["voc"].samples(tmp_path)
    (tmp_path / "images" / "validation").mkdir(parents=True)
    with pytest.raises(EvaluationError, match="no picture"):
        BENCHMARKS["ade20k"].samples(tmp_path)


def test_a_label_in_colours_is_said(tmp_path):
    write_voc(tmp_path)
    save_picture(tmp_path / "SegmentationClass" / "2007_000.png", (7, 11))
    with pytest.raises(EvaluationError, match="holds colours"):
        BENCHMARKS["voc"].samples(tmp_path)[0].load()


@pytest.mark.parametrize("folder", ["JPEGImages", "SegmentationClass"])
def test_a_broken_file_is_said(folder, tmp_path):
    write_voc(tmp_path)
    (path,) = (tmp_path / folder).glob("2007_000.*")
    path.write_bytes(b"not a picture")
    with pytest.raises(EvaluationError, match="cannot be read") as error:
        BENCHMARKS["voc"].samples(tmp_path)[0].load()
    assert str(path) in str(error.value)


def test_missing_simulated_frames_are_said(tmp_path):
    with pytest.raises(EvaluationError, match="index.json"):
        BENCHMARKS["sim"].samples(tmp_path)


def test_every_benchmark_is_documented():
    page = (ROOT / "docs" / "reference" / "benchmarks.md").read_text(encoding="utf-8")
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in page.splitlines()]
    described = {row[0].strip("`"): row for row in rows if len(row) == 6}
    for name, benchmark in BENCHMARKS.items():
        _, _, count, prompts, background_filter, _ = described[name]
        assert int(count) == len(benchmark.classes)
        assert ("background" in prompts) == ("background" in benchmark.classes)
        assert (background_filter == "on") == benchmark.filter_background
