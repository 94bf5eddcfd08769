"""What the heads learn from, for batches of frames: CLIP's intermediate features, DINO's and
FOUND's targets.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from dinoiser_ros.segmentation import found
from dinoiser_ros.training import dino, region_captions, vit
from dinoiser_ros.training.heads import HeadBatch


@torch.no_grad()
def clip_intermediate(vision: nn.Module, images: Tensor, index: int) -> Tensor:
    """Intermediate features (B, D, h, w) of normalised images whose sides are multiples of the
    patch.
    """
    patch = vision.conv1.kernel_size[0]
    rows, columns = images.shape[2] // patch, images.shape[3] // patch
    positions = vit.resized_positions(vision, rows, columns).flatten(0, 1)
    features = vit.intermediate_features(vision, vit.embed(vision, images, positions), index)
    return features.transpose(1, 2).unflatten(2, (rows, columns))


class FrameTeacher:
    """Makes the heads' training batches from unlabelled frames with frozen networks."""

    def __init__(
        self,
        clip_vision: nn.Module,
        dino_vision: nn.Module,
        frames: np.ndarray,
        size: int,
        seed: int,
        layer: int = -3,
    ) -> None:
        """Frames are (N, H, W, 3) uint8; ``size`` of them make a batch."""
        self.clip_vision, self.dino_vision = clip_vision, dino_vision
        self.frames, self.size, self.seed, self.layer = frames, size, seed, layer

    @torch.no_grad()
    def __call__(self, step: int) -> HeadBatch:
        """The batch of a step: random frames, half of them mirrored, with jittered light."""
        rng = np.random.default_rng([self.seed, 5, step])
        chosen = np.sort(rng.choice(len(self.frames), self.size, replace=False))
        rgb = torch.from_numpy(self.frames[chosen])
        if rng.random() < 0.5:
            rgb = rgb.flip(2)
        rgb = region_captions.jitter(rng, rgb)
        with torch.autocast("cpu", torch.bfloat16):
            features = clip_intermediate(
                self.clip_vision, region_captions.normalise(rgb), self.layer
            ).float()
            last = dino.last_layer(self.dino_vision, dino.normalise(rgb))
        background = found.background(last.cls_attention.float(), last.keys.float())
        return HeadBatch(
            features,
            dino.correlations(last.values.float()),
            ~background.unflatten(1, tuple(features.shape[2:])),
        )
