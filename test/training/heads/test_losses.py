# SPDX-License-Identifier: Apache-2.0
"""Losses and their gradients against slow re-implementations."""

import numpy as np
import pytest
import torch

from dinoiser_ros.segmentation.methods.pooling import correlations
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.training.demo.region_captions import contrast, name_loss
from dinoiser_ros.training.demo.train_dino import assignments, distillation_loss
from dinoiser_ros.training.heads.losses import (
    correlation_loss,
    objectness_loss,
    projected_correlations,
)


def unit(rows, width, seed):
    x = torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=-1).float()


def numeric_gradient(function, x, step=1e-3):
    """Central differences of a scalar function, element by element."""
    gradient = torch.zeros_like(x)
    for index in np.ndindex(*x.shape):
        high, low = x.clone(), x.clone()
        high[index] += step
        low[index] -= step
        gradient[index] = (function(high) - function(low)) / (2 * step)
    return gradient


def naive_contrast(images, texts, true, scale):
    total, n = 0.0, len(images)
    for a, b, t in ((images, texts, true), (texts, images, true.T)):
        for i in range(n):
            kept = [j for j in range(n) if j == i or not t[i, j]]
            logits = [float(scale * (a[i] @ b[j])) for j in kept]
            total += np.log(np.sum(np.exp(logits))) - logits[kept.index(i)]
    return total / (2 * n)


def test_contrast_leaves_true_pairs_out():
    images, texts = unit(6, 5, 0), unit(6, 5, 1)
    true = torch.rand(6, 6, generator=torch.Generator().manual_seed(2)) < 0.3
    value = contrast(images, texts, true, torch.tensor(8.0))
    assert float(value) == pytest.approx(naive_contrast(images, texts, true, 8.0), rel=1e-5)


def test_contrast_gradient():
    images, texts = unit(4, 3, 3).requires_grad_(), unit(4, 3, 4)
    true = torch.zeros(4, 4, dtype=torch.bool)
    true[0, 2] = True
    contrast(images, texts, true, torch.tensor(5.0)).backward()
    numeric = numeric_gradient(
        lambda x: contrast(x, texts, true, torch.tensor(5.0)), images.detach()
    )
    torch.testing.assert_close(images.grad, numeric, atol=2e-3, rtol=1e-2)


def test_name_loss_counts_rare_classes_more_and_visible_others_not_at_all():
    regions, names = unit(5, 4, 5), unit(3, 4, 6)
    named = torch.tensor([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]).bool()
    visible = named | torch.tensor([[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]).bool()
    total = weights = 0.0
    for i, k in named.nonzero().tolist():
        kept = [j for j in range(3) if j == k or not visible[i, j]]
        logits = {j: 7.0 * float(regions[i] @ names[j]) for j in kept}
        weight = float(named[:, k].sum()) ** -0.5
        total += weight * (np.log(sum(np.exp(x) for x in logits.values())) - logits[k])
        weights += weight
    value = name_loss(regions, names, named, visible, torch.tensor(7.0))
    assert float(value) == pytest.approx(total / weights, rel=1e-5)
    numeric = numeric_gradient(
        lambda x: name_loss(x, names, named, visible, torch.tensor(7.0)), regions
    )
    regions.requires_grad_()
    name_loss(regions, names, named, visible, torch.tensor(7.0)).backward()
    torch.testing.assert_close(regions.grad, numeric, atol=2e-3, rtol=1e-2)


def binary_cross_entropy(logit, target):
    p = 1 / (1 + np.exp(-logit))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def test_correlation_loss():
    learnt = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    teacher = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = np.mean(
        [
            binary_cross_entropy(max(float(a), 0.0), float(t >= 0.2))
            for a, t in zip(learnt.ravel(), teacher.ravel(), strict=True)
        ]
    )
    assert float(correlation_loss(learnt, teacher, 0.2)) == pytest.approx(expected, rel=1e-5)
    numeric = numeric_gradient(lambda x: correlation_loss(x, teacher, 0.2), learnt)
    learnt.requires_grad_()
    correlation_loss(learnt, teacher, 0.2).backward()
    torch.testing.assert_close(learnt.grad, numeric, atol=1e-3, rtol=1e-2)


def test_objectness_loss():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    expected = np.mean(
        [
            binary_cross_entropy(float(x), float(m))
            for x, m in zip(logits.ravel(), mask.ravel(), strict=True)
        ]
    )
    assert float(objectness_loss(logits, mask)) == pytest.approx(expected, rel=1e-5)


def test_heads_against_loops():
    torch.manual_seed(0)
    heads, features = DinoiserHeads(6, 4), torch.randn(1, 6, 3, 4)
    weight, bias = heads.obj_proj.weight, heads.obj_proj.bias
    outputs = []
    for y in range(3):
        for x in range(4):
            total = bias.clone()
            for dy in range(3):
                for dx in range(3):
                    row, column = min(max(y + dy - 1, 0), 2), min(max(x + dx - 1, 0), 3)
                    total = total + weight[:, :, dy, dx] @ features[0, :, row, column]
            outputs.append(total / total.norm())
    expected = torch.stack(outputs) @ torch.stack(outputs).T
    torch.testing.assert_close(
        projected_correlations(heads, features)[0], expected, atol=1e-5, rtol=1e-4
    )
    heads.requires_grad_(False)
    logits = torch.tensor(
        [
            [
                float(
                    (
                        heads.bkg_decoder.weight[0, :, 0, 0]
                        * features[0, :, y, x]
                        / features[0, :, y, x].norm()
                    ).sum()
                    + heads.bkg_decoder.bias[0]
                )
                for x in range(4)
            ]
            for y in range(3)
        ]
    )
    torch.testing.assert_close(heads.objectness(features)[0, 0], logits, atol=1e-5, rtol=1e-4)


def test_distillation_compares_different_views_only():
    student = [torch.randn(2, 4, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    targets = [torch.rand(2, 4, generator=torch.Generator().manual_seed(9 + i)) for i in range(2)]
    terms = []
    for i, p in enumerate(targets):
        for j, s in enumerate(student):
            if i == j:
                continue
            q = np.exp(s.numpy() / 0.1)
            terms.append(-(p.numpy() * np.log(q / q.sum(1, keepdims=True))).sum(1).mean())
    assert float(distillation_loss(student, targets, 0.1)) == pytest.approx(
        np.mean(terms), rel=1e-4
    )


def test_assignments_are_distributions_that_use_all_prototypes():
    outputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    outputs[:, 3] += 0.8  # a batch in which one prototype wins everywhere
    p = assignments(outputs, 0.06)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(64))
    assert outputs.softmax(dim=1).argmax(dim=1).unique().tolist() == [3]
    assert p.sum(dim=0).min() > 64 / 8 * 0.8


def test_dino_correlations_are_cosines():
    values = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0))
    result = correlations(values)[0]
    for i in range(4):
        for j in range(4):
            a, b = values[0, i], values[0, j]
            assert float(result[i, j]) == pytest.approx(
                float(a @ b / a.norm() / b.norm()), abs=1e-5
            )
