# SPDX-License-Identifier: Apache-2.0
"""One method of a segmenter as a function of tensors alone, which can be traced into a file.

The methods and the backbone are those of `segmentation`. What differs is around them: the texts are
only known when the file is used, and no size is a constant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.errors import ExportError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.engines.traceable import traceable
from dinoiser_ros.segmentation.methods.inputs import MethodInputs, MethodOptions, Parts
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.options import method_options

# Those on the features that `dense_features` gives, not CLIPer's; and maskclip+, which needs none.
EXPORTED = tuple(
    name for name, entry in METHODS.items() if not (entry.request and entry.request.attention)
)
_CELL = 16  # pixels of a cell of maskclip+'s networks, at most


@dataclass(frozen=True)
class OpenVocabulary:
    """What methods ask of a `Vocabulary`, for texts that come with the image.

    Attributes:
        texts: (K, S, d) unit vectors: S phrases for each of K classes.
        background: (K,) float, 1 for the background and 0 for the others; None for no filter.
    """

    texts: Tensor
    background: Tensor | None = None

    @property
    def embeddings(self) -> Tensor:
        """(K * S, d)."""
        return self.texts.flatten(0, 1)

    @property
    def phrase_class(self) -> Tensor:
        """(K * S,)."""
        classes = torch.arange(self.texts.shape[0], device=self.texts.device)
        return classes.unsqueeze(1).expand(self.texts.shape[:2]).flatten()

    def best_of_phrases(self, scores: Tensor) -> Tensor:
        """(B, K * S, h, w) -> (B, K, h, w): the score of a class is the best of its phrases."""
        classes, phrases = self.texts.shape[0], self.texts.shape[1]
        batch, _, rows, columns = scores.shape
        return scores.reshape(batch, classes, phrases, rows, columns).amax(dim=2)


class Graph(nn.Module):
    """From images and texts to probabilities.

    Args:
        segmenter: in float32 on the CPU; its method and options become part of the graph.
        pixels: whether labels and confidence of every pixel are computed as well.

    Raises:
        ExportError: the method, or an option, has no place in a graph.
    """

    def __init__(self, segmenter: Segmenter, pixels: bool = False) -> None:
        super().__init__()
        options = segmenter.options
        if options.method not in EXPORTED:
            raise ExportError(
                f"The method {options.method!r} cannot be exported: use {', '.join(EXPORTED)}."
            )
        self.method = METHODS[options.method]
        self.filters = self.method.filters_background and options.background_filter != "off"
        if self.filters and not self.method.delta and options.background_source != "objectness":
            raise ExportError(
                f"The background source {options.background_source!r} cannot be exported: use "
                "'objectness'."
            )
        if options.pamr:
            raise ExportError("The refinement PAMR cannot be exported: set pamr to 0.")
        self.options: MethodOptions = method_options(options, segmenter.heads)
        self.parts: Parts = segmenter.parts
        if segmenter.backbone is not None:
            self.parts = replace(self.parts, backbone=traceable(segmenter.backbone))
        self.pixels = pixels
        # So that the exporter knows the weights as such; they are read through `parts`.
        self.weights = segmenter.network or segmenter.parts.clip_backbone.visual

    @property
    def cell(self) -> int:
        """Pixels of a cell of the grid that probabilities lie on, at most."""
        return self.parts.backbone.patch_size if self.parts.backbone else _CELL

    @property
    def dim(self) -> int:
        """Length of the text embeddings."""
        return self.parts.main.dim

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what `forward` takes."""
        return ("images", "texts", "background") if self.filters else ("images", "texts")

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what `forward` gives."""
        return ("probabilities", "labels", "confidence") if self.pixels else ("probabilities",)

    @torch.no_grad()
    def forward(
        self, images: Tensor, texts: Tensor, background: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Segment a batch.

        Args:
            images: (B, 3, H, W) RGB, float32 in [0, 1] or uint8.
            texts: (K, S, d) float32 unit vectors, S phrases for each of K classes; a class of
                fewer repeats one.
            background: (K,) float32, 1 for the class of all that is no object, 0 for
                others; only if the background is filtered.

        Returns:
            Probabilities (B, K, h, w) on the patch grid, or the network's; if wanted, labels
            (B, H, W) int32 and confidence (B, H, W) float32.
        """
        if not images.is_floating_point():
            images = images.float() / 255.0
        request = self.method.request
        dense = self.parts.clip_backbone(images, request) if request else None
        vocabulary = OpenVocabulary(texts, background if self.filters else None)
        inputs = MethodInputs(images, dense, self.parts, vocabulary, self.options)
        probabilities = self.method.function(inputs)
        if not self.pixels:
            return (probabilities,)
        confidence, labels = self._of_pixels(probabilities, images).max(dim=1)
        return probabilities, labels.to(torch.int32), confidence

    def _of_pixels(self, probabilities: Tensor, images: Tensor) -> Tensor:
        """(B, K, h, w) -> (B, K, H, W), see `postprocess.upsample`."""
        height, width = images.shape[-2:]
        if not self.method.on_patches:  # the cells divide the image, whatever their number
            return F.interpolate(
                probabilities, size=(height, width), mode="bilinear", align_corners=False
            )
        full = F.interpolate(
            probabilities, scale_factor=float(self.cell), mode="bilinear", align_corners=False
        )
        return full[..., :height, :width]
