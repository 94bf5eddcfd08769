# SPDX-License-Identifier: Apache-2.0
"""The rule that makes a row of examples, against a naive minimisation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from dinoiser_ros.segmentation.examples.calibration import taught_embedding, text_levels
from dinoiser_ros.segmentation.examples.example_set import Example
from dinoiser_ros.segmentation.inference.example_features import otsu_threshold


def unit(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def test_levels_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    around, texts = unit(generator, 7, 5), unit(generator, 4, 5)
    best, others = [], []
    for patch in around:
        scores = sorted(float(patch @ text) for text in texts)
        best.append(scores[-1])
        others.append(sum(scores[:-1]) / 3)
    winning, losing = text_levels(around, texts)
    np.testing.assert_allclose(
        [float(winning), float(losing)], [np.mean(best), np.mean(others)], rtol=1e-5
    )


def test_the_row_minimises_what_the_docstring_says() -> None:
    generator = torch.Generator().manual_seed(1)
    examples = [Example(unit(generator, 6), unit(generator, 64, 6)) for _ in range(3)]
    texts = unit(generator, 5, 6)
    around = torch.cat([example.background for example in examples])
    winning, losing = map(float, text_levels(around, texts))

    def cost(row: torch.Tensor) -> torch.Tensor:
        of_examples = sum((e.feature.double() @ row - winning) ** 2 for e in examples) / 3
        of_around = sum((p.double() @ row - losing) ** 2 for p in around) / len(around)
        return of_examples + of_around + 0.05 * ((row - texts.double().mean(dim=0)) ** 2).sum()

    row = taught_embedding(examples, texts, 0.05).double().requires_grad_()
    gradient = torch.autograd.grad(cost(row), row)[0]
    assert float(gradient.abs().max()) < 1e-6


def test_examples_score_above_the_patches_around_them_on_the_scale_of_texts() -> None:
    generator = torch.Generator().manual_seed(2)
    common, own = unit(generator, 32), unit(generator, 32)
    around = F.normalize(2 * common + 0.5 * unit(generator, 64, 32), dim=-1)
    feature = F.normalize(2 * common + own, dim=0)
    texts = F.normalize(unit(generator, 6, 32) + 0.3 * common, dim=-1)
    row = taught_embedding([Example(feature, around)], texts)
    highest = float((around @ texts.T).max())
    assert float((around @ row).mean()) < float(feature @ row) < highest < 0.9
    assert float(feature @ feature) > highest  # what an uncalibrated row would give


def test_otsu_against_a_search() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.05, 300), rng.normal(0.8, 0.05, 40)])

    def within(threshold: float) -> float:
        low, high = values[values < threshold], values[values >= threshold]
        return len(low) * low.var() + len(high) * high.var()

    best = min(np.linspace(values.min() + 0.01, values.max() - 0.01, 500), key=within)
    assert within(otsu_threshold(values)) <= 1.02 * within(best)
    assert otsu_threshold(np.full(5, 0.5)) == 0.5
