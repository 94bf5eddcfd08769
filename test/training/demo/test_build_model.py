# SPDX-License-Identifier: Apache-2.0
"""What the embedded model's build writes, and how its thresholds are counted."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors import safe_open
from training_fakes import TINY_CLIP, TINY_DINO, fake_store

from dinoiser_ros.evaluation.datasets.foreground import foreground_labels
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.models.maskclip_plus_checkpoint import read_closed_set
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads, heads_from_state
from dinoiser_ros.segmentation.weights.checkpoint import read_checkpoint
from dinoiser_ros.sim.classes import CLASS_IDS, CLASSES, OBJECT_IDS, OBJECTS
from dinoiser_ros.training.demo import build_maskclip_plus as demo_maskclip_plus
from dinoiser_ros.training.demo.build_maskclip_plus import (
    OUTPUT,
    SCHEDULE,
    LabelledFrames,
    label_frames,
)
from dinoiser_ros.training.demo.build_model import MODELS, Build, train_demo_heads
from dinoiser_ros.training.demo.threshold_selection import miou
from dinoiser_ros.training.demo.train_clip import build_clip
from dinoiser_ros.training.demo.train_dino import build_dino
from dinoiser_ros.training.heads.files import Thresholds, curve, save_heads
from dinoiser_ros.training.heads.schedule import HeadSchedule
from dinoiser_ros.training.maskclip_plus.trainer import PlusSchedule

MEBIBYTE = 2**20


def test_heads_are_written_as_the_engine_reads_them(tmp_path):
    heads = DinoiserHeads(12, 4)
    save_heads(heads, tmp_path / "heads.safetensors", Thresholds(0.8, 0.5, -2), torch.float16)
    read = heads_from_state(*read_checkpoint(tmp_path / "heads.safetensors"))
    assert (read.gamma, read.delta, read.intermediate_layer) == (0.8, 0.5, -2)
    assert read.width == 12
    difference = (read.obj_proj.weight - heads.obj_proj.weight).abs().max()
    assert float(difference.detach()) < 1e-3


def test_the_heads_stage_is_reproducible_and_kept(tmp_path):
    torch.manual_seed(0)
    clip, dino = build_clip(TINY_CLIP).eval(), build_dino(TINY_DINO).eval()
    store = fake_store(8)
    schedule = HeadSchedule(2, 1e-3, 1e-2, 1, 0.85)

    def stage(folder):
        (tmp_path / folder).mkdir(exist_ok=True)
        build = Build(0, tmp_path / folder, tmp_path, tmp_path, None, None, schedule)
        heads, losses = train_demo_heads(build, clip, dino, store)
        return [*heads.state_dict().values(), torch.tensor(losses)]

    first = stage("a")
    assert len(first[-1]) == 2
    for again in (stage("b"), stage("a")):  # trained anew; read from the work folder
        assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


def test_surfaces_are_background_when_objects_are_sought():
    labels = np.array([[0, 7, CLASS_IDS["ball"], CLASS_IDS["barrel"], 255]], np.uint8)
    assert foreground_labels(labels).tolist() == [[0, 0, 1, len(OBJECTS), 255]]
    assert len(OBJECT_IDS) == len(OBJECTS) == 10


def test_validation_score_of_a_perfect_segmenter():
    store = fake_store(3)

    class Perfect:
        def segment(self, image):
            index = next(i for i in range(3) if (store.rgb[i] == image).all())
            return type("Result", (), {"labels": store.labels(index)})

    assert miou(Perfect(), store, range(3)) == 1.0


def test_curve_averages_equal_parts():
    assert curve([1.0, 3.0, 5.0, 7.0], 2) == [2.0, 6.0]
    assert curve([1.0], 5) == [1.0]


def test_shipped_files_are_half_precision_and_small():
    files = [MODELS / f"{name}.safetensors" for name in ("demo", "demo_heads", "demo_dino")]
    assert sum(path.stat().st_size for path in MODELS.iterdir()) < 25 * MEBIBYTE
    for path in files:
        with safe_open(path, "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118


def test_the_shipped_maskclip_plus_is_half_precision_and_says_what_it_is():
    closed = read_closed_set(OUTPUT)
    assert closed.text.trained.prompts == CLASSES and closed.inference_size == 192
    assert closed.training["teacher"]["method"] == "dinoiser"
    assert closed.training["frames"]["split"] == "train"
    assert closed.training["schedule"] == asdict(SCHEDULE)
    with safe_open(OUTPUT, "pt") as file:
        kernels = [name for name in file.keys() if len(file.get_slice(name).get_shape()) == 4]  # noqa: SIM118
        assert {file.get_slice(name).get_dtype() for name in kernels} == {"F16"}


def test_maskclip_plus_learns_the_same_after_a_break(tmp_path, monkeypatch):
    """The labels' file and the network's, each broken off once."""
    store, teacher = fake_store(8), Segmenter("demo", device="cpu", precision="float32")
    teacher.set_prompts(list(CLASSES))
    monkeypatch.setattr(demo_maskclip_plus, "_AT_ONCE", 3)
    whole = np.array(label_frames(teacher, store.rgb, tmp_path))
    (tmp_path / "labels.json").write_text('{"done": 3}')
    asked = []
    once = demo_maskclip_plus.teacher_labels
    monkeypatch.setattr(
        demo_maskclip_plus, "teacher_labels", lambda *given: asked.append(1) or once(*given)
    )
    assert (label_frames(teacher, store.rgb, tmp_path) == whole).all() and len(asked) == 5
    monkeypatch.setattr(demo_maskclip_plus, "BATCH", 4)
    frames = LabelledFrames(store.rgb, whole[::2], PlusSchedule(2, 2), 0)
    first, resumed = list(frames.batches_from(0)), list(frames.batches_from(1))
    assert [labels is None for _, labels in first] == [False, False, True, True]
    for (rgb, labels), (again, same) in zip(first[1:], resumed, strict=True):
        assert torch.equal(rgb, again) and (labels is None or torch.equal(labels, same))


def test_the_record_says_what_was_measured():
    record = json.loads((MODELS / "demo_training.json").read_text())
    scores = record["heldout"]
    assert scores["dinoiser"]["mIoU"] >= max(0.45, scores["maskclip"]["mIoU"])
    best = record["validation"]["mIoU by gamma"]
    assert record["validation"]["gamma"] == pytest.approx(float(max(best, key=best.get)))
