# SPDX-License-Identifier: Apache-2.0
"""Masks with other ids, against doing it pixel by pixel."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from dinoiser_ros.messages.mask_pixels import id_table, with_ids


@pytest.mark.parametrize("unlabeled", [255, 65535])
@pytest.mark.parametrize("opencv", [True, False])
def test_ids_take_the_place_of_positions(
    unlabeled: int, opencv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not opencv:
        monkeypatch.setitem(sys.modules, "cv2", None)
    ids = [7, 0, 254, 1]
    table = id_table(ids, unlabeled)
    labels = np.random.default_rng(0).choice([0, 1, 2, 3, unlabeled], (5, 7)).astype(table.dtype)
    found = with_ids(labels, table)
    assert found.dtype == labels.dtype == (np.uint8 if unlabeled == 255 else np.uint16)
    meant = {**dict(enumerate(ids)), unlabeled: unlabeled}
    assert found.tolist() == [[meant[label] for label in row] for row in labels.tolist()]


def test_positions_need_no_table() -> None:
    assert id_table([0, 1, 2], 255) is None
    assert id_table([0, 2, 1], 255) is not None
