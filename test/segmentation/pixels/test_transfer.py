# SPDX-License-Identifier: Apache-2.0
"""What is copied from the device, and that nothing before it waits for the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from dinoiser_ros.segmentation import SegmentationClass
from dinoiser_ros.segmentation.inference.forward import label_batch
from dinoiser_ros.segmentation.methods.inputs import Parts
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dino import DinoTower
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.segmentation.networks.dinov2.backbone import DinoV2Backbone
from dinoiser_ros.segmentation.networks.dinov2.tower import DinoV2Sizes, DinoV2Tower
from dinoiser_ros.segmentation.networks.dinov3.backbone import DinoV3Backbone
from dinoiser_ros.segmentation.networks.dinov3.tower import DinoV3Tower
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.segmentation.networks.register_tower import RegisterSizes
from dinoiser_ros.segmentation.networks.siglip.backbone import SiglipBackbone
from dinoiser_ros.segmentation.networks.siglip.towers import SiglipTower
from dinoiser_ros.segmentation.networks.similarity import Similarity
from dinoiser_ros.segmentation.options import Options
from dinoiser_ros.segmentation.pixels.transfer import pack_results, result_arrays, unpack_results
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary


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
    exact, whole = result_arrays(labels, confidence, wide)  # as it is on a CPU
    assert found.dtype == exact.dtype == (np.uint16 if wide else np.uint8)
    np.testing.assert_array_equal(found, labels.numpy())
    np.testing.assert_array_equal(exact, labels.numpy())
    np.testing.assert_array_equal(whole, confidence.numpy())
    assert steps.dtype == np.float32 and steps.min() == 0.0 and steps.max() == 1.0
    assert np.abs(steps - confidence.numpy()).max() <= 0.5 / 255 + 1e-6
    # Masks carry the same eight bits, whichever way they came.
    np.testing.assert_array_equal(np.rint(steps * 255), np.rint(confidence.numpy() * 255))


class OnlyThere(TorchDispatchMode):
    """Fails where a tensor of the host takes part in what a device does: it would be copied."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_flatten((args, kwargs, result))[0]:
            # Numbers of Python are tensors without dimensions, which are passed by value.
            if isinstance(leaf, torch.Tensor) and leaf.dim() and not leaf.is_meta:
                raise RuntimeError(f"{func} uses a tensor on {leaf.device}")
        return result


def unknown_texts(classes: int, dim: int) -> Vocabulary:
    """A vocabulary without data, the background first."""
    names = ("background", *(f"thing {number}" for number in range(1, classes)))
    entries = tuple(SegmentationClass(i, name, (name,)) for i, name in enumerate(names))
    owners = torch.arange(classes, device="meta")
    return Vocabulary(names, entries, torch.zeros(classes, dim, device="meta"), owners)


@pytest.mark.parametrize("source", ["objectness", "found"])
@pytest.mark.parametrize(("classes", "shape"), [(3, (40, 33)), (300, (24, 20))])
@pytest.mark.parametrize(
    "method", [name for name in METHODS if name not in ("cliper-diffusion", "talk2dino")]
)
def test_nothing_in_a_frame_waits_for_the_device(
    method: str, shape: tuple[int, int], classes: int, source: str
) -> None:
    """Tensors without data: whatever would have to look at a value fails."""
    meta = torch.device("meta")
    clip = open_clip.CLIP(
        embed_dim=8,
        vision_cfg={"image_size": 32, "layers": 4, "width": 32, "head_width": 16, "patch_size": 8},
        text_cfg={"layers": 1, "width": 16, "heads": 1, "vocab_size": 9, "context_length": 4},
    )
    visual = clip.visual.eval().requires_grad_(False).to(meta)
    heads = DinoiserHeads(32, 4).requires_grad_(False)
    vocabulary = unknown_texts(classes, 8)
    network = None
    if method == "maskclip+":
        network = EmbeddingNetwork("lraspp", "mobilenet_v3_large", 8).eval().to(meta)
    parts = Parts(Backbone(visual, -3), heads.to(meta), DinoTower(visual), network=network)
    options = Options(method, confidence_threshold=0.1, background_source=source)
    pixels = torch.zeros(2, 40, 33, 3, dtype=torch.uint8, device=meta)
    with OnlyThere():
        label_batch(pixels, shape, parts, vocabulary, options)  # positions are computed once
        labels, confidence = label_batch(pixels, shape, parts, vocabulary, options)
        packed = pack_results(labels, confidence, wide=classes > 255)
    assert packed.shape == (3 if classes > 255 else 2, 2, 40, 33)
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(labels.any())  # such a look would have failed above, too
    with pytest.raises(RuntimeError, match="uses a tensor on cpu"), OnlyThere():
        confidence + torch.ones(33).to(meta)


@pytest.mark.parametrize(
    ("method", "family"),
    [
        ("maskclip", "siglip"),
        ("maskclip-ks", "siglip"),
        ("dinoiser", "siglip"),
        ("cliper", "siglip"),
        ("talk2dino", "dinov2"),
        ("talk2dino", "dinov3"),
    ],
)
def test_other_backbones_wait_for_nothing_either(method: str, family: str) -> None:
    """Nor does the refinement of their scores."""
    if family == "dinov3":
        newer = DinoV3Tower(RegisterSizes(64, 3, 8, 4, 128)).eval().requires_grad_(False)
        backbone = DinoV3Backbone(newer.to("meta"))
    elif family == "dinov2":
        tower = DinoV2Tower(DinoV2Sizes(64, 3, 8, 4, 128, 4)).eval().requires_grad_(False)
        backbone = DinoV2Backbone(tower.to("meta"))
    else:
        config = {
            "width": 64, "layers": 3, "head_width": 32, "mlp_ratio": 2.0, "patch_size": 8,
            "image_size": 32,
        }  # fmt: skip
        visual = SiglipTower(config, torch.nn.GELU).eval().requires_grad_(False)
        backbone = SiglipBackbone(visual.to("meta"), similarity=Similarity(10.0, -10.0))
    parts = Parts(backbone, DinoiserHeads(64, 4).requires_grad_(False).to("meta"))
    pixels = torch.zeros(2, 40, 33, 3, dtype=torch.uint8, device="meta")
    vocabulary, options = unknown_texts(3, 64), Options(method, pamr=2)
    with OnlyThere():
        label_batch(pixels, (40, 33), parts, vocabulary, options)  # positions are computed once
        labels, _ = label_batch(pixels, (40, 33), parts, vocabulary, options)
    assert labels.shape == (2, 40, 33)
