# SPDX-License-Identifier: Apache-2.0
"""From examples to a row of the text matrix: visual similarity on the scale of text scores.

The cosine of two patches is far higher than that of a patch and a text, so that the mean of the
examples cannot be compared with texts as it is. Two levels of the text scores are measured on the
patches around the examples: that of the text which wins a patch, and that of the others. The row
is to give the examples the first and the patches around them the second, and to be near to the
mean of the texts, which holds where the examples say nothing. How this rule was chosen:
docs/explanation/teaching.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .example_set import Example

LEAST_TEXTS = 4  # that the levels are measured with
SHRINKAGE = 0.03  # weight of the distance to the mean text


def text_levels(background: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """How high the winning text scores on a patch, and how high the others, on average.

    Args:
        background: (M, d) unit features of patches.
        texts: (T, d) unit vectors, at least two.

    Returns:
        Two cosines, scalars: the mean of the best text of each patch, and that of the other texts.
    """
    scores = background @ texts.T
    best = scores.amax(dim=1)
    others = (scores.sum(dim=1) - best) / (scores.shape[1] - 1)
    return best.mean(), others.mean()


def taught_embedding(
    examples: Sequence[Example], texts: Tensor, shrinkage: float = SHRINKAGE
) -> Tensor:
    """The row of a class that is given by examples, by ridge regression in closed form.

    With f the examples' features, B the patches around them, a and b the `text_levels` on these,
    and t the mean text, the row w minimises
    mean_f (w f - a)^2 + mean_B (w B - b)^2 + s |w - t|^2.

    Args:
        examples: at least one.
        texts: (T, d) unit vectors of the other classes' phrases, at least two.
        shrinkage: s, above 0.

    Returns:
        (d,) float32, of any length: its product with a unit feature is comparable with the cosines
        of texts.
    """
    features = torch.stack([example.feature for example in examples]).to(texts)
    background = torch.cat([example.background for example in examples]).to(texts)
    around = background.double()
    own = features.double()
    winning, losing = (level.double() for level in text_levels(background, texts))
    near = texts.mean(dim=0).double()
    total = shrinkage * torch.eye(len(near), dtype=torch.float64, device=texts.device)
    total = total + own.T @ own / len(own) + around.T @ around / len(around)
    wanted = shrinkage * near + winning * own.mean(dim=0) + losing * around.mean(dim=0)
    row: Tensor = torch.linalg.solve(total, wanted).float()
    return row
