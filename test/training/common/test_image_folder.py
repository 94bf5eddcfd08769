# SPDX-License-Identifier: Apache-2.0
"""Folders of pictures as training views: any layout, drawn from the seed, bad ones named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dinoiser_ros.errors import TrainingError
from dinoiser_ros.training.common.image_folder import (
    FolderBatches,
    Views,
    digest,
    find_pictures,
    random_view,
)

VIEWS = Views(shorter_side=24, crop=16)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / "pictures"
    names = ("a.png", "deep/er/b.JPG", "c.webp", "deep/d.bmp", "e.tif")
    for name, size in zip(names, ((40, 30), (30, 60), (50, 50), (20, 33), (64, 48)), strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(root / name)
    (root / "notes.txt").write_text("no picture")
    (root / "deep" / "round").symlink_to(root)
    (root / "elsewhere").symlink_to(tmp_path / "more")
    (tmp_path / "more").mkdir()
    Image.new("L", (30, 30), 90).save(tmp_path / "more" / "grey.png")
    return root


def test_pictures_are_found_in_any_layout(folder):
    names = [path.relative_to(folder).as_posix() for path in find_pictures(folder)]
    assert names == sorted(
        ["a.png", "c.webp", "deep/d.bmp", "deep/er/b.JPG", "e.tif", "elsewhere/grey.png"]
    )
    some = find_pictures(folder, 3, seed=1)
    assert len(some) == 3 and some == sorted(some) and some == find_pictures(folder, 3, seed=1)
    assert digest(folder, some) != digest(folder, find_pictures(folder))


def test_views_are_drawn_from_seed_and_step(folder):
    pictures = find_pictures(folder)
    source = FolderBatches(pictures, VIEWS, 4, 0)
    batch = source[5]
    assert batch.shape == (4, 16, 16, 3) and batch.dtype == torch.uint8
    assert torch.equal(batch, source[5]) and not torch.equal(batch, source[6])
    assert not torch.equal(batch, FolderBatches(pictures, VIEWS, 4, 1)[5])
    parts = [FolderBatches(pictures, VIEWS, 4, 0, rank, 2)[5] for rank in range(2)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), batch), "processes share a batch"


def test_an_epoch_shows_every_picture_once(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "dinoiser_ros.training.common.image_folder.random_view",
        lambda path, rng, views: seen.append(path) or np.zeros((1, 1, 3), np.uint8),
    )
    pictures = find_pictures(folder)
    source = FolderBatches(pictures, VIEWS, 4, 0)
    for step in range(3):  # 12 views of 6 pictures
        source[step]
    first, second = seen[:6], seen[6:]
    assert sorted(first) == sorted(second) == pictures and first != second


def test_a_view_is_a_cut_of_the_resized_picture(tmp_path):
    ramp = np.tile(np.arange(48, dtype=np.uint8)[None, :, None] * 4, (24, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    plain = Views(24, 16, flip=0.0, brightness=0.0)
    view = random_view(tmp_path / "ramp.png", np.random.default_rng(0), plain)
    start = int(view[0, 0, 0]) // 4
    np.testing.assert_array_equal(view, ramp[:16, start : start + 16])
    mirrored = Views(24, 16, flip=1.0, brightness=0.0)
    again = random_view(tmp_path / "ramp.png", np.random.default_rng(0), mirrored)
    np.testing.assert_array_equal(again, view[:, ::-1])


def test_brightness_is_multiplied_within_its_limits(tmp_path):
    Image.new("RGB", (16, 16), (100, 100, 100)).save(tmp_path / "grey.png")
    views = [
        random_view(tmp_path / "grey.png", np.random.default_rng(seed), Views(16, 16))
        for seed in range(200)
    ]
    values = [int(view[0, 0, 0]) for view in views]
    assert 50 <= min(values) < 60 and 140 < max(values) <= 150
    assert all((view == view[0, 0, 0]).all() for view in views)


def test_what_is_no_picture_is_named(tmp_path):
    with pytest.raises(TrainingError, match="has no pictures in it: give a folder"):
        find_pictures(tmp_path)
    with pytest.raises(TrainingError, match="is not a folder: give a folder"):
        find_pictures(tmp_path / "nowhere")
    Image.new("RGB", (64, 64)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    error = FolderBatches(find_pictures(tmp_path), VIEWS, 1, 0)[0]
    assert isinstance(error, TrainingError)
    assert "cut.png cannot be read as a picture" in str(error) and "\n" not in str(error)
