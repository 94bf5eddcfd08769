# SPDX-License-Identifier: Apache-2.0
"""Every stage against the numbers of the authors' implementation, on two open_clip versions."""

from __future__ import annotations

import numpy as np
from golden_data import (
    GOLDEN,
    GOLDEN_MODEL,
    GOLDEN_PROMPTS,
)

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.pooling import correlations, guided_pooling
from dinoiser_ros.segmentation.models import building as model
from dinoiser_ros.segmentation.pixels.preprocess import to_batch

IMAGES = ("square", "wide", "odd")
TOLERANCE = 1e-5  # of the largest value of an array


def stages(segmenter: Segmenter, image: np.ndarray) -> dict[str, np.ndarray]:
    """All intermediate arrays of one image, named and shaped as in the golden data."""
    dense = segmenter.backbone(to_batch([image], image.shape[:2], segmenter.device))
    intermediate = dense.intermediate_map
    embeddings = segmenter.heads.embeddings(intermediate)
    pooled = guided_pooling(dense.features, embeddings, gamma=0.2)
    segmenter.background_filter = "off"
    plain = segmenter.probabilities(image)
    segmenter.background_filter = "auto"
    return {
        "layer_features": dense.intermediate[0].numpy(),
        "maskclip_features": dense.features[0].numpy(),
        "correlations": correlations(embeddings)[0].unflatten(-1, dense.grid).numpy(),
        "background_logits": segmenter.heads.objectness(intermediate)[0].numpy(),
        "pooled_features": pooled[0].numpy(),
        "probabilities": plain,
        "probabilities_with_background_filter": segmenter.probabilities(image),
    }


def assert_close(name: str, got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.shape == wanted.shape, name
    worst = np.abs(got - wanted).max() / np.abs(wanted).max()
    assert worst <= TOLERANCE, f"{name} is off by {worst:.1e} of its largest value"


def check_everything(segmenter: Segmenter, expected: dict[str, np.ndarray]) -> None:
    embeddings = segmenter.vocabulary.embeddings.numpy()
    assert_close("class_embeddings", embeddings, expected["class_embeddings"])
    for image in IMAGES:
        computed = stages(segmenter, expected[f"{image}.image_u8"])
        for name, array in computed.items():
            assert_close(f"{image}.{name}", array, expected[f"{image}.{name}"])


def test_all_golden_arrays_are_compared(golden, expected):
    compared = {f"{i}.{name}" for i in IMAGES for name in stages(golden, expected[f"{i}.image_u8"])}
    assert compared | {f"{i}.image_u8" for i in IMAGES} | {"class_embeddings"} == set(expected)


def test_stage_by_stage(golden, expected):
    check_everything(golden, expected)


def test_a_batch_gives_what_single_images_give(golden, expected):
    image = expected["wide.image_u8"]
    others = [image, image[:, ::-1].copy(), image[::-1].copy()]
    batched = golden.segment_batch([*others, expected["odd.image_u8"]])
    for one, result in zip([*others, expected["odd.image_u8"]], batched, strict=True):
        alone = golden.segment(one)
        assert (alone.labels == result.labels).mean() > 0.999
        np.testing.assert_allclose(alone.confidence, result.confidence, atol=1e-4)


def test_stage_by_stage_with_a_model_of_open_clip(expected, monkeypatch):
    monkeypatch.setattr(model, "is_plain_config", lambda config: False)
    segmenter = Segmenter(**GOLDEN_MODEL, inference_size=0, device="cpu", precision="float32")
    assert type(segmenter.backbone.visual).__module__ == "open_clip.transformer"
    segmenter.set_prompts(GOLDEN_PROMPTS)
    check_everything(segmenter, expected)


def main() -> None:
    """Compare with whatever open_clip is first on the path: test_old_open_clip.py runs this."""
    model.is_plain_config = lambda config: False
    segmenter = Segmenter(**GOLDEN_MODEL, inference_size=0, device="cpu", precision="float32")
    segmenter.set_prompts(GOLDEN_PROMPTS)
    with np.load(GOLDEN / "expected.npz") as arrays:
        check_everything(segmenter, dict(arrays))
