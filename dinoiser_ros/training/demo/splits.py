# SPDX-License-Identifier: Apache-2.0
"""The three sets of scenes. Their seeds never meet, whatever the base seed."""

from __future__ import annotations

from .frame_store import Split


def demo_splits(seed: int, train_scenes: int = 500) -> dict[str, Split]:
    """Training, validation and held-out frames of the demo model, by name."""
    base = 10_000_000 * seed
    return {
        "train": Split("train", base + 1_000_000, train_scenes, 12),
        "validation": Split("validation", base + 2_000_000, 60, 2),
        "heldout": Split("heldout", base + 3_000_000, 120, 2, held_out=0.4),
    }
