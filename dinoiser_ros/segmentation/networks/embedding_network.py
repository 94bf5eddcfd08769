# SPDX-License-Identifier: Apache-2.0
"""torchvision's segmentation networks as dense encoders into CLIP's space, for `maskclip+`.

MaskCLIP+ (arXiv 2112.01071, section 3.3) trains an ordinary segmentation network whose classifier
is CLIP's text embeddings: the network itself gives an embedding for every cell of its grid.
The paper used DeepLabv2. torchvision has its successor DeepLabv3 (arXiv 1706.05587), and LR-ASPP
(arXiv 1905.02244, section 6.3), which was made for small computers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError

# torchvision's statistics of ImageNet, which its backbones are trained with (RGB in [0, 1]).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

BACKBONES = ("mobilenet_v3_large", "resnet50", "resnet101")

# (head, backbone) -> how to build it, besides without weights. The grid's cells are 8 pixels wide,
# those of DeepLabv3 on MobileNet 16.
_OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("deeplabv3", "mobilenet_v3_large"): {},
    ("deeplabv3", "resnet50"): {"aux_loss": False},
    ("deeplabv3", "resnet101"): {"aux_loss": False},
    ("lraspp", "mobilenet_v3_large"): {},
}
HEADS = tuple(dict.fromkeys(head for head, _ in _OPTIONS))


class EmbeddingNetwork(nn.Module):
    """A segmentation network that gives embeddings instead of classes.

    Args:
        head, backbone: a pair that torchvision has: "deeplabv3" with any of `BACKBONES`, "lraspp"
            with "mobilenet_v3_large".
        dim: length of CLIP's text embeddings.
        mean, std: of each channel, RGB in [0, 1].

    Attributes:
        watch: if set, called with (B, channels): the means of the backbone's features.

    Raises:
        WeightsError: torchvision has no such network.
    """

    def __init__(
        self,
        head: str,
        backbone: str,
        dim: int,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
    ) -> None:
        super().__init__()
        if (head, backbone) not in _OPTIONS:
            pairs = ", ".join(" on ".join(pair) for pair in _OPTIONS)
            raise WeightsError(f"There is no {head} on {backbone}: use one of {pairs}.")
        network = _build(head, backbone, dim)
        self.head, self.backbone_name, self.dim = head, backbone, dim
        self.mean, self.std = tuple(mean), tuple(std)
        self.backbone: nn.Module = network.backbone
        self.classifier: nn.Module = network.classifier
        self.watch: Callable[[Tensor], None] | None = None
        self.statistics: Tensor
        self.register_buffer("statistics", torch.tensor([self.mean, self.std]), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.statistics.device

    @property
    def dtype(self) -> torch.dtype:
        """Its floating-point type."""
        return self.statistics.dtype

    def forward(self, images: Tensor) -> Tensor:
        """Dense embeddings.

        Args:
            images: (B, 3, H, W) RGB in [0, 1].

        Returns:
            (B, dim, h, w) in CLIP's joint space, not normalised; the cells divide the image.
        """
        mean, std = self.statistics.float()[..., None, None]
        features = self.backbone(((images - mean) / std).to(self.dtype))
        if self.watch is not None:
            self.watch(torch.cat([maps.mean(dim=(2, 3)) for maps in features.values()], dim=1))
        embeddings: Tensor = self.classifier(features if self.head == "lraspp" else features["out"])
        return embeddings


def _build(head: str, backbone: str, dim: int) -> Any:
    """Torchvision's network with random weights, `dim` channels for its classes."""
    from torchvision.models import segmentation  # takes a second or two, and only this needs it

    make = getattr(segmentation, f"{head}_{backbone}")
    options = _OPTIONS[head, backbone]
    return make(weights=None, weights_backbone=None, num_classes=dim, **options)
