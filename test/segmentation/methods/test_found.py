# SPDX-License-Identifier: Apache-2.0
"""FOUND's seed step against the authors' implementation and against loops."""

import numpy as np
import paths
import pytest
import torch

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.methods.found import background, head_weights
from dinoiser_ros.segmentation.networks.dino import LastLayer
from dinoiser_ros.training.heads.found import found_head_from_state, seed_foreground

GOLDEN = np.load(paths.GOLDEN / "found_expected.npz")


def test_matches_the_authors_masks():
    for image in range(3):
        attention = torch.from_numpy(GOLDEN[f"{image}.cls_attention"])
        keys = torch.from_numpy(GOLDEN[f"{image}.keys"])
        expected = GOLDEN[f"{image}.background"]
        assert (background(attention, keys).numpy().reshape(expected.shape) == expected).all()


def test_head_weights_are_the_log_of_inverse_shares():
    attention = torch.rand(4, 20, generator=torch.Generator().manual_seed(0))
    mean = attention.mean()
    shares = [sum(float(a > mean) for a in row) / 20 for row in attention]
    expected = [np.log(sum(shares) / share) for share in shares]
    np.testing.assert_allclose(head_weights(attention).numpy(), expected, rtol=1e-4)


def test_background_against_loops():
    generator = torch.Generator().manual_seed(1)
    attention, keys = (
        torch.rand(3, 12, generator=generator),
        torch.randn(12, 3, 5, generator=generator),
    )
    beta = head_weights(attention)
    seed = min(range(12), key=lambda p: sum(float(beta[h] * attention[h, p]) for h in range(3)))
    scaled = [
        np.concatenate([float(beta[h]) * keys[p, h].numpy() for h in range(3)]) for p in range(12)
    ]
    cosine = [s @ scaled[seed] / np.linalg.norm(s) / np.linalg.norm(scaled[seed]) for s in scaled]
    assert background(attention, keys).tolist() == [c > 0.3 for c in cosine]


def test_a_batch_gives_what_single_images_give():
    attention = torch.stack([torch.from_numpy(GOLDEN[f"{i}.cls_attention"]) for i in range(3)])
    keys = torch.stack([torch.from_numpy(GOLDEN[f"{i}.keys"]) for i in range(3)])
    single = torch.stack([background(a, k) for a, k in zip(attention, keys, strict=True)])
    assert torch.equal(background(attention, keys), single)


def last_layer():
    generator = torch.Generator().manual_seed(2)
    keys = torch.randn(2, 6, 3, 4, generator=generator)
    return LastLayer(keys.flatten(2), keys, torch.rand(2, 3, 6, generator=generator), (2, 3))


def test_seed_as_a_teacher_gives_what_is_not_background():
    last = last_layer()
    expected = ~background(last.cls_attention, last.keys)
    assert torch.equal(seed_foreground(last) > 0.5, expected)


@pytest.mark.parametrize("prefix", ["", "decoder."])
def test_trained_head_against_loops(prefix):
    last, generator = last_layer(), torch.Generator().manual_seed(3)
    weight = torch.randn(1, 12, 1, 1, generator=generator)
    state = {prefix + "weight": weight, prefix + "bias": torch.tensor([0.3])}
    result = found_head_from_state(state, 12, "it")(last)
    for image in range(2):
        for patch in range(6):
            logit = 0.3
            for head in range(3):
                for i in range(4):
                    logit += float(weight[0, 4 * head + i, 0, 0] * last.keys[image, patch, head, i])
            assert float(result[image, patch]) == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-4)


@pytest.mark.parametrize(
    ("state", "width", "reason"),
    [
        ({"weight": torch.zeros(1, 8, 1, 1)}, 8, "not FOUND's head"),
        ({"weight": torch.zeros(1, 8, 3, 3), "bias": torch.zeros(1)}, 8, "not FOUND's head"),
        ({"weight": torch.zeros(1, 8, 1, 1), "bias": torch.zeros(1)}, 12, "width 8"),
    ],
)
def test_another_head_is_refused(state, width, reason):
    with pytest.raises(WeightsError, match=reason):
        found_head_from_state(state, width, "it")
