# SPDX-License-Identifier: Apache-2.0
"""Classes, colours, textures and stored frames: everything of the world that needs no renderer."""

import json

import numpy as np
import pytest

from dinoiser_ros.sim import textures
from dinoiser_ros.sim.classes import (
    CLASSES,
    COLOUR_NAMES,
    COLOURED,
    COLOURS,
    HELD_OUT_PAIRS,
    OBJECTS,
    is_held_out,
    nearest_colour,
)
from dinoiser_ros.sim.colouring import paint
from dinoiser_ros.sim.frames import LabelledFrame, read_frames, write_frames
from dinoiser_ros.sim.gl import RendererUnavailable
from dinoiser_ros.sim.object_shapes import SHAPES
from dinoiser_ros.training.demo.splits import demo_splits


def test_classes_and_pairs_belong_together():
    assert len(CLASSES) == len(set(CLASSES)) == 18
    assert set(SHAPES) == set(OBJECTS)
    assert set(COLOURED) < set(OBJECTS)
    assert all(colour in COLOURS and name in COLOURED for colour, name in HELD_OUT_PAIRS)


def test_colour_names_are_nearest_to_themselves():
    assert [nearest_colour(np.array(rgb)) for rgb in COLOURS.values()] == list(COLOUR_NAMES)


@pytest.mark.parametrize("name", COLOURED)
def test_training_never_paints_a_held_out_pair(name):
    rng = np.random.default_rng(0)
    drawn = [paint(rng, name) for _ in range(300)]
    assert not any(is_held_out(nearest_colour(rgb), name) for _, rgb in drawn)
    allowed = {colour for colour in COLOUR_NAMES if not is_held_out(colour, name)}
    assert {colour for colour, _ in drawn} == allowed | {None}


@pytest.mark.parametrize("kind", sorted(textures.PLAIN))
def test_textures_are_images_and_follow_the_seed(kind):
    first, again, other = (textures.PLAIN[kind](np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (textures.SIZE, textures.SIZE, 3) and first.dtype == np.uint8
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("name", OBJECTS)
def test_shapes_stand_on_the_floor_inside_their_footprint(name):
    for seed in range(5):
        shape = SHAPES[name](np.random.default_rng(seed))
        assert all(part.pos[2] >= 0 for part in shape.parts)
        assert all(np.hypot(*part.pos[:2]) <= shape.radius + 0.15 for part in shape.parts)


def test_splits_share_no_scene():
    seeds = [
        set(range(split.first_seed, split.first_seed + split.scenes))
        for seed in (0, 1)
        for split in demo_splits(seed).values()
    ]
    assert len(set().union(*seeds)) == sum(map(len, seeds))
    splits = demo_splits(0)
    assert (
        splits["train"].held_out == splits["validation"].held_out == 0 < splits["heldout"].held_out
    )


def test_frames_survive_being_stored(tmp_path):
    rng = np.random.default_rng(0)
    instances = rng.choice(np.array([0, 1, 255], np.uint8), (24, 32))
    things = {0: ("sky", None), 1: ("ball", "blue")}
    labels = np.array([CLASSES.index("sky"), CLASSES.index("ball")] + [255] * 254, np.uint8)[
        instances
    ]
    rgb = np.full((24, 32, 3), 120, np.uint8)
    assert (
        write_frames(tmp_path, [LabelledFrame("a", rgb, labels, instances, things, 7)], "note") == 1
    )
    frame = next(read_frames(tmp_path))
    assert (frame.labels == labels).all() and (frame.instances == instances).all()
    assert np.abs(frame.rgb.astype(int) - 120).max() <= 2
    assert frame.things == things and frame.scene == 7 and frame.name == "a"
    assert json.loads((tmp_path / "index.json").read_text())["note"] == "note"


def test_frames_without_an_index_are_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        next(read_frames(tmp_path))


def test_a_missing_renderer_names_the_packages(monkeypatch):
    from dinoiser_ros.sim import gl

    monkeypatch.setattr(gl, "_works", lambda backend: False)
    monkeypatch.setattr(gl, "find_spec", lambda name: object())
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("DINOISER_GL_CHECKED", raising=False)
    with pytest.raises(RendererUnavailable, match="libegl1.*libosmesa6"):
        gl.load_mujoco()


def test_the_users_backend_is_the_only_one_tried(monkeypatch):
    from dinoiser_ros.sim import gl

    tried = []
    monkeypatch.setattr(gl, "_works", lambda backend: tried.append(backend))
    monkeypatch.setattr(gl, "find_spec", lambda name: object())
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.delenv("DINOISER_GL_CHECKED", raising=False)
    with pytest.raises(RendererUnavailable, match="MUJOCO_GL=osmesa"):
        gl.load_mujoco()
    assert tried == ["osmesa"]


def test_missing_mujoco_is_said(monkeypatch):
    from dinoiser_ros.sim import gl

    monkeypatch.setattr(gl, "find_spec", lambda name: None)
    monkeypatch.delenv("DINOISER_GL_CHECKED", raising=False)
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(RendererUnavailable, match="pip install mujoco"):
        gl.load_mujoco()
