# SPDX-License-Identifier: Apache-2.0
"""Training data of a closed-set network: labels that nobody drew (arXiv 2112.01071, section 3.3).

First those of a teacher, any segmentation method of this project; later the network's own. Pixels
whose label is unsure are ignored.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation import Segmenter, Vocabulary
from dinoiser_ros.segmentation.methods.classification import class_logits, classify
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.segmentation.pixels.postprocess import label_pixels

IGNORED = -1  # the label of a pixel that teaches nothing


def teacher_labels(teacher: Segmenter, rgb: Tensor) -> Tensor:
    """Labels by a segmenter, whose confidence threshold says what is unsure.

    Args:
        rgb: (B, H, W, 3) uint8.

    Returns:
        (B, H, W) int64 class ids, `IGNORED` where unsure.
    """
    results = teacher.segment_batch(list(rgb.numpy()))
    labels = np.stack([result.labels.astype(np.int64) for result in results])
    labels[labels == results[0].unlabeled] = IGNORED
    return torch.from_numpy(labels)


@torch.no_grad()
def own_labels(
    network: EmbeddingNetwork, vocabulary: Vocabulary, images: Tensor, threshold: float
) -> Tensor:
    """Labels by the network itself, as it would be used now.

    Args:
        images: (B, 3, H, W) RGB in [0, 1].
        threshold: pixels whose label is less probable are unsure.

    Returns:
        (B, H, W) int64 class ids, `IGNORED` where unsure.
    """
    was_training = network.training
    probabilities = classify(network.eval()(images), vocabulary)
    network.train(was_training)
    rows, columns = probabilities.shape[-2:]
    height, width = images.shape[-2:]
    confidence, labels = label_pixels(probabilities, 1, (rows, columns), (height, width))
    return labels.long().masked_fill(confidence < threshold, IGNORED)


def pseudo_label_loss(embeddings: Tensor, vocabulary: Vocabulary, labels: Tensor) -> Tensor:
    """Cross-entropy with the labels, averaged over the pixels that have one; 0 if none has.

    The classifier is the text: it is given, not learnt.

    Args:
        embeddings: (B, d, h, w) of the network.
        labels: (B, H, W) int64, of the images' own size.
    """
    logits = class_logits(embeddings, vocabulary)
    logits = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=False)
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)
