# SPDX-License-Identifier: Apache-2.0
"""The stages of a frame, timed one after the other with what the stage before gave."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.background import filter_background
from dinoiser_ros.segmentation.methods.classification import classify
from dinoiser_ros.segmentation.methods.pooling import guided_pooling
from dinoiser_ros.segmentation.pixels.postprocess import label_pixels
from dinoiser_ros.segmentation.pixels.preprocess import to_batch

from .timing import Times, in_turns

_EQUAL_ON_A_GPU = 0.99  # of the labels: two ways through half precision need not round alike


@torch.inference_mode()
def time_stages(
    segmenter: Segmenter, image: np.ndarray, rounds: int, seconds: float
) -> dict[str, Times]:
    """Times of decode, preprocess, backbone, heads, pooling, classify, resize and copy.

    Args:
        segmenter: with method "dinoiser" and a background class.
        image: (H, W, 3) uint8, segmented at its own size.
        rounds, seconds: see `in_turns`.

    Raises:
        AssertionError: the stages do not give what `Segmenter.segment` gives: they are outdated.
    """
    size, vocabulary, heads = image.shape[:2], segmenter.vocabulary, segmenter.heads
    given: dict[str, object] = {}
    jpeg = _jpeg(image)

    def keep(name: str, function: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            given[name] = function()

        return run

    def heads_stage() -> object:
        intermediate = given["backbone"].intermediate_map
        return heads.embeddings(intermediate), heads.objectness(intermediate)

    def classify_stage() -> object:
        return filter_background(
            classify(given["pooling"], vocabulary),
            given["heads"][1],
            vocabulary.background,
            heads.delta,
        )

    stages = {
        "decode": lambda: np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")),
        "preprocess": lambda: to_batch([image], size, segmenter.device),
        "backbone": lambda: segmenter.backbone(given["preprocess"]),
        "heads": heads_stage,
        "pooling": lambda: guided_pooling(
            given["backbone"].features, given["heads"][0], heads.gamma
        ),
        "classify": classify_stage,
        "resize": lambda: label_pixels(
            given["classify"], segmenter.backbone.patch_size, size, size
        ),
        "copy": lambda: given["resize"][1].cpu().numpy().astype(np.uint8),
    }
    times = in_turns({name: keep(name, stage) for name, stage in stages.items()}, rounds, seconds)
    equal = (given["copy"][0] == segmenter.segment(image).labels).mean()
    assert equal >= (1.0 if segmenter.device.type == "cpu" else _EQUAL_ON_A_GPU), (
        "the stages timed here are not those of Segmenter.segment: bring them up to date"
    )
    return times


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
