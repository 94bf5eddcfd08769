# SPDX-License-Identifier: Apache-2.0
"""The held-out benchmark: its arithmetic, the shipped frames, and the shipped model on some of
them.
"""

import numpy as np
import pytest
from paths import HELD_OUT

from dinoiser_ros.evaluation.heldout import evaluate, score_method
from dinoiser_ros.evaluation.metrics.confusion import mean_iou
from dinoiser_ros.sim.classes import CLASS_IDS, CLASSES, HELD_OUT_PAIRS
from dinoiser_ros.sim.frames import LabelledFrame, read_frames

FOLDER = HELD_OUT
BALL, BOX = CLASS_IDS["ball"], CLASS_IDS["box"]


@pytest.fixture(scope="module")
def frames():
    return list(read_frames(FOLDER))


def toy_frame():
    instances = np.array([[0, 0, 1, 1], [2, 2, 2, 255]], np.uint8)
    labels = np.array([[BALL, BALL, BALL, BALL], [BOX, BOX, BOX, 255]], np.uint8)
    things = {0: ("ball", "blue"), 1: ("ball", "red"), 2: ("box", None)}
    return LabelledFrame("toy", np.zeros((2, 4, 3), np.uint8), labels, instances, things, 0)


def test_recall_of_pairs_is_counted_per_object():
    predicted = np.array([[BALL, BOX, BALL, BALL], [BOX, BOX, BOX, BOX]], np.uint8)
    row = evaluate(lambda image: predicted, [toy_frame()]).row()
    assert row["recall, held-out pairs"] == 0.5 and row["recall, seen pairs"] == 1.0
    assert row["pixel accuracy"] == pytest.approx(6 / 7)
    assert row["mIoU"] == pytest.approx((3 / 4 + 3 / 4) / 2)


def test_shipped_frames_are_many_small_and_complete(frames):
    assert len(frames) >= 200
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 15_000_000
    seen = np.unique(np.concatenate([np.unique(frame.labels) for frame in frames]))
    assert set(range(len(CLASSES))) <= set(seen.tolist())
    shown = {(colour, name) for frame in frames for name, colour in frame.things.values()}
    assert shown >= HELD_OUT_PAIRS


def test_the_shipped_model_segments_by_text(frames):
    some = frames[::16]
    plain, guided = (score_method(method, some) for method in ("maskclip", "dinoiser"))
    assert mean_iou(guided.matrix) >= 0.45
    assert mean_iou(guided.matrix) >= mean_iou(plain.matrix)
