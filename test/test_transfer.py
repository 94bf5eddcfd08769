"""What is copied from the device, and that nothing before it waits for the device."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.segmentation import SegmentationClass
from dinoiser_ros.segmentation.backbone import Backbone
from dinoiser_ros.segmentation.frame import Frame, MethodOptions, Parts
from dinoiser_ros.segmentation.heads import Heads
from dinoiser_ros.segmentation.image import upsample
from dinoiser_ros.segmentation.methods import METHODS
from dinoiser_ros.segmentation.transfer import fetch_results, pack_results, unpack_results
from dinoiser_ros.segmentation.vocabulary import Vocabulary


@given(seed=st.integers(0, 99), wide=st.booleans(), batch=st.integers(1, 3))
def test_results_survive_being_packed(seed: int, wide: bool, batch: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    most = 65536 if wide else 256
    labels = torch.randint(0, most, (batch, 5, 7), generator=generator, dtype=torch.int32)
    labels[0, 0, :2] = torch.tensor([0, most - 1])
    confidence = torch.rand(batch, 5, 7, generator=generator)
    confidence[0, 0, :2] = torch.tensor([0.0, 1.0])
    packed = pack_results(labels, confidence, wide)
    assert packed.dtype == torch.uint8 and packed.shape == (3 if wide else 2, batch, 5, 7)
    found, steps = unpack_results(packed.numpy())
    exact, whole = fetch_results(labels, confidence, wide)  # as it is on a CPU
    assert found.dtype == exact.dtype == (np.uint16 if wide else np.uint8)
    np.testing.assert_array_equal(found, labels.numpy())
    np.testing.assert_array_equal(exact, labels.numpy())
    np.testing.assert_array_equal(whole, confidence.numpy())
    assert steps.dtype == np.float32 and steps.min() == 0.0 and steps.max() == 1.0
    assert np.abs(steps - confidence.numpy()).max() <= 0.5 / 255 + 1e-6
    # Masks carry the same eight bits, whichever way they came.
    np.testing.assert_array_equal(np.rint(steps * 255), np.rint(confidence.numpy() * 255))


@pytest.mark.parametrize(
    "method", ["dinoiser", "dinoiser-keys", "maskclip", "maskclip-ks", "maskclip-ks-pd", "cliper"]
)
def test_nothing_in_a_frame_waits_for_the_device(method: str) -> None:
    """Tensors without data: whatever would have to look at a value fails."""
    clip = open_clip.CLIP(
        embed_dim=8,
        vision_cfg={"image_size": 32, "layers": 4, "width": 32, "head_width": 16, "patch_size": 8},
        text_cfg={"layers": 1, "width": 16, "heads": 1, "vocab_size": 9, "context_length": 4},
    )
    meta = torch.device("meta")
    heads = Heads(*(torch.zeros(*shape) for shape in ((4, 32, 3, 3), (4,), (1, 32, 1, 1), (1,))))
    names = ("background", "floor", "wall")
    classes = tuple(SegmentationClass(i, name, (name,)) for i, name in enumerate(names))
    owners = torch.arange(3, device=meta)
    vocabulary = Vocabulary(names, classes, torch.zeros(3, 8, device=meta), owners)
    options = MethodOptions(0.2, 0.99, True, "objectness", True, 1.0, 0.5, 0.1)
    backbone = Backbone(clip.visual.eval().requires_grad_(False).to(meta), -3)
    images = torch.zeros(1, 3, 40, 33, device=meta)
    entry = METHODS[method]
    parts = Parts(backbone, heads.to(meta))
    dense = backbone(images, entry.request)
    coarse = entry.function(Frame(images, dense, parts, vocabulary, options))
    confidence, labels = upsample(coarse, 8, (40, 33), (40, 33)).max(dim=1)
    assert pack_results(labels, confidence, wide=True).shape == (3, 1, 40, 33)
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(labels.any())  # such a look would have failed above, too
