# SPDX-License-Identifier: Apache-2.0
"""ImageNet weights for the backbone of a closed-set network."""

from __future__ import annotations

from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.segmentation.weights.checkpoint import load_into, read_checkpoint
from dinoiser_ros.segmentation.weights.sources import find_file, parse_source

# Layers of torchvision's classifiers that no segmentation network has.
_CLASSIFIERS = ("fc.", "classifier.")


def load_pretrained_backbone(
    network: EmbeddingNetwork, location: str, offline: bool = False
) -> None:
    """Put the weights of a classifier of torchvision into the backbone.

    Args:
        location: path or URL of its state dict, such as mobilenet_v3_large-8738ca79.pth.
        offline: never use the network.

    Raises:
        WeightsError: it cannot be had, or is of another backbone.
    """
    state, _ = read_checkpoint(find_file((parse_source(location),), offline))
    kept = {
        name.removeprefix("features."): tensor
        for name, tensor in state.items()
        if not name.startswith(_CLASSIFIERS)
    }
    load_into(network.backbone, kept, location)
