# SPDX-License-Identifier: Apache-2.0
"""Rendered scenes: reproducible, labelled, with depth. Skipped where no GL library is installed."""

import numpy as np
import pytest

from dinoiser_ros.sim.camera import SceneCamera
from dinoiser_ros.sim.classes import CLASS_IDS, CLASSES, UNLABELLED, is_held_out
from dinoiser_ros.sim.drive import SimulatedRobot
from dinoiser_ros.sim.gl import RendererUnavailable, load_mujoco
from dinoiser_ros.sim.placement import set_camera, snapshot
from dinoiser_ros.sim.scene import build_scene, repaint

SIZE = (96, 72)


@pytest.fixture(scope="module", autouse=True)
def _renderer():
    try:
        load_mujoco()
    except RendererUnavailable as error:
        pytest.skip(str(error))


def view(seed, **options):
    scene = build_scene(seed, *SIZE)
    rng = np.random.default_rng(seed)
    repaint(scene, rng, **options)
    snapshot(scene, rng)
    with SceneCamera(scene, *SIZE) as camera:
        return camera.render()


def test_a_seed_gives_the_same_frame():
    first, again, other = view(3), view(3), view(4)
    assert (first.rgb == again.rgb).all() and (first.labels == again.labels).all()
    assert (first.depth == again.depth).all()
    assert (first.rgb != other.rgb).any()


@pytest.mark.parametrize("seed", range(4))
def test_frames_carry_consistent_ground_truth(seed):
    frame = view(seed)
    assert frame.rgb.shape == (72, 96, 3) and frame.rgb.dtype == np.uint8
    assert frame.labels.dtype == np.uint8 and frame.depth.dtype == np.float32
    assert set(np.unique(frame.labels)) <= set(range(len(CLASSES))) | {UNLABELLED}
    for index in np.unique(frame.instances[frame.instances != UNLABELLED]):
        assert (frame.labels[frame.instances == index] == frame.things[index].class_id).all()
    sky = frame.labels == CLASS_IDS["sky"]
    assert np.isinf(frame.depth[sky]).all()
    assert (frame.depth[~sky] > 0.05).all() and (frame.depth[~sky] < 100).all()


def test_depth_is_metric():
    scene = build_scene(0, *SIZE)
    for item in scene.objects:
        assert not item.shown
    set_camera(scene, 0.0, 0.0, 1.0, 0.3, -np.pi / 2 + 1e-3)
    with SceneCamera(scene, *SIZE) as camera:
        assert camera.render().depth[36, 48] == pytest.approx(1.0, abs=0.03)


def test_held_out_pairs_appear_only_when_asked_for():
    scene = build_scene(5, *SIZE)
    rng = np.random.default_rng(0)

    def pairs():
        return [(scene.things[item.thing].colour, item.name) for item in scene.objects]

    for _ in range(5):
        repaint(scene, rng)
        assert not any(is_held_out(*pair) for pair in pairs())
    repaint(scene, rng, held_out=1.0)
    assert any(is_held_out(*pair) for pair in pairs())


def test_the_robot_drives_smoothly_and_reproducibly():
    with SimulatedRobot(2, *SIZE) as robot:
        frames = [frame for frame, _ in zip(robot.frames(), range(12), strict=False)]
    with SimulatedRobot(2, *SIZE) as robot:
        again = robot.frame()
    assert (again.rgb == frames[0].rgb).all()
    steps = [(a.labels != b.labels).mean() for a, b in zip(frames, frames[1:], strict=False)]
    assert 0 < max(steps) < 0.35
    assert (frames[0].labels != frames[-1].labels).mean() > np.mean(steps)
