# SPDX-License-Identifier: Apache-2.0
"""How the time of a frame grows with its tokens: a linear and a quadratic term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Growth:
    """Milliseconds = linear * tokens + quadratic * tokens^2.

    Attributes:
        linear: ms for each token.
        quadratic: ms for each pair of tokens.
        error: the greatest relative difference from what was measured.
    """

    linear: float
    quadratic: float
    error: float

    def share(self, tokens: int) -> float:
        """The quadratic term's part of the time, in [0, 1]."""
        square = self.quadratic * tokens**2
        return square / (self.linear * tokens + square)


def fit_growth(times: Mapping[int, float]) -> Growth | None:
    """Least squares of relative errors; no term is negative.

    Args:
        times: milliseconds by number of tokens, all positive.

    Returns:
        None for less than two numbers of tokens.
    """
    if len(times) < 2:
        return None
    tokens = np.array(list(times), np.float64)
    measured = np.array(list(times.values()), np.float64)
    terms = np.stack([tokens, tokens**2], axis=1) / measured[:, None]
    ones = np.ones(len(tokens))
    linear, quadratic = np.linalg.lstsq(terms, ones, rcond=None)[0]
    if quadratic < 0:
        linear, quadratic = _alone(terms[:, 0]), 0.0
    elif linear < 0:
        linear, quadratic = 0.0, _alone(terms[:, 1])
    error = np.abs(terms @ [linear, quadratic] - 1).max()
    return Growth(float(linear), float(quadratic), float(error))


def _alone(term: np.ndarray) -> float:
    """The factor of a single term: least squares of `factor * term - 1`."""
    return float(term.sum() / (term @ term))


def described(name: str, growth: Growth, tokens: list[int]) -> str:
    """As a line of text."""
    shares = ", ".join(f"{100 * growth.share(count):.0f} % at {count}" for count in tokens)
    return (
        f"{name}: {1e3 * growth.linear:.0f} ms for 1000 tokens + {1e6 * growth.quadratic:.1f} ms "
        f"for 1000 x 1000 pairs; pairs take {shares}; fits to {100 * growth.error:.0f} %"
    )
