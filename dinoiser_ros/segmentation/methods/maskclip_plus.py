# SPDX-License-Identifier: Apache-2.0
"""MaskCLIP+ (arXiv 2112.01071, section 3.3): a network trained for its classes."""

from __future__ import annotations

from torch import Tensor

from .classification import classify
from .inputs import MethodInputs


def maskclip_plus(inputs: MethodInputs) -> Tensor:
    """A network that was trained for these classes, CLIP's text its classifier: (B, K, h, w)."""
    return classify(network_features(inputs), inputs.vocabulary)


def network_features(inputs: MethodInputs) -> Tensor:
    """What that network gives for each cell, in CLIP's joint space: (B, d, h, w)."""
    network = inputs.parts.network
    assert network is not None, "Segmenter gives the method its network"
    features: Tensor = network(inputs.images)
    return features
