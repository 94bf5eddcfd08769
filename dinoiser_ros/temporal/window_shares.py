# SPDX-License-Identifier: Apache-2.0
"""How long windows may be; imports nothing, since parameters are declared with it."""

from __future__ import annotations

LEAST_SHARE = 0.1  # of an image's longer side, that windows have


def window_shares(share: float) -> list[float]:
    """The shares of an image's longer side that windows may have, the greatest first.

    Args:
        share: that is asked for, in [`LEAST_SHARE`, 1].
    """
    return [share, share / 2] if share / 2 >= LEAST_SHARE else [share]
