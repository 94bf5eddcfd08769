# SPDX-License-Identifier: Apache-2.0
"""The differentiable passes against open_clip's own forward and against the engine."""

import torch
from training_fakes import TINY_CLIP

from dinoiser_ros.segmentation.networks import vit
from dinoiser_ros.segmentation.networks.clip_backbone import MEAN, STD, Backbone
from dinoiser_ros.training.demo.train_clip import build_clip
from dinoiser_ros.training.demo.vit import patch_positions, pooled_features, trunk


def model_and_images(height, width):
    torch.manual_seed(0)
    images = torch.rand(2, 3, height, width)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return build_clip(TINY_CLIP).eval(), images, (images - mean) / std


def embedded(vision, pixels):
    positions = patch_positions(vision, pixels.shape[2] // 8, pixels.shape[3] // 8)
    return vit.embed(vision, pixels, positions.flatten(0, 1))


@torch.no_grad()
def test_pooled_features_are_open_clips():
    model, _, pixels = model_and_images(48, 48)
    ours = pooled_features(model.visual, trunk(model.visual, embedded(model.visual, pixels)))
    torch.testing.assert_close(ours, model.encode_image(pixels), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_dense_features_are_the_engines():
    model, images, pixels = model_and_images(40, 64)
    expected = Backbone(model.visual, -3)(images)
    dense = vit.dense_features(model.visual, trunk(model.visual, embedded(model.visual, pixels)))
    torch.testing.assert_close(
        dense.transpose(1, 2).unflatten(2, (5, 8)), expected.features, atol=1e-5, rtol=1e-4
    )
