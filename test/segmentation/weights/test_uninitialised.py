# SPDX-License-Identifier: Apache-2.0
"""Networks built without values: the time is saved, and nothing else is different."""

from __future__ import annotations

import json

import pytest
import torch
from golden_data import GOLDEN_MODEL
from torch import nn

from dinoiser_ros.segmentation.models.building import build_clip
from dinoiser_ros.segmentation.weights.uninitialised import Uninitialised

CONFIG = json.loads(GOLDEN_MODEL["model"].read_text())


@pytest.mark.parametrize("fill", [nn.init.normal_, nn.init.xavier_uniform_, nn.init.zeros_])
def test_parameters_are_left_alone(fill) -> None:
    parameter = nn.Parameter(torch.full((3, 4), 7.0))
    with Uninitialised():
        fill(parameter)
    assert (parameter == 7.0).all()
    fill(parameter)
    assert not (parameter == 7.0).all()


def test_a_model_that_is_filled_afterwards_is_whole() -> None:
    torch.manual_seed(0)
    whole, _ = build_clip(CONFIG)
    with Uninitialised():
        filled, _ = build_clip(CONFIG)
    filled.load_state_dict(whole.state_dict())
    expected = {**dict(whole.named_parameters()), **dict(whole.named_buffers())}
    found = {**dict(filled.named_parameters()), **dict(filled.named_buffers())}
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name  # masks and the like included
        assert found[name].requires_grad == tensor.requires_grad, name
