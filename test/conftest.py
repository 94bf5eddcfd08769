# SPDX-License-Identifier: Apache-2.0
"""What the whole suite shares: the golden model and images, and how tests share the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo  # before anything renders: triton's LLVM does not load after Mesa's
from golden_data import GOLDEN, GOLDEN_MODEL, GOLDEN_PROMPTS
from media_fakes import segment_by_brightness
from ros_helpers import Client, FakeCamera

# The models of most tests are so small that threads cost more than they save: on two busy cores
# six times as much. The same holds for the processes that tests start.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

NODES = pytest.mark.xdist_group("nodes")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three for two cores: one runs nodes and mostly waits for them. More than four do not help."""
    return min(max(os.cpu_count() or 1, 3), 4)


def pytest_configure(config: pytest.Config) -> None:
    """The suite also runs without pytest-xdist, which knows this marker."""
    config.addinivalue_line("markers", "xdist_group(name): tests that one worker runs in turn")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nodes run one after the other: two at once, with their clients, need more than two cores.

    It is also what keeps the node that a test module shares in one worker.
    """
    for item in items:
        names = vars(item.module) if isinstance(item, pytest.Function) else {}
        if not {"running_node", "NodeProcess", "isolate_ros"}.isdisjoint(names):
            item.add_marker(NODES)


def pytest_collection_finish(session: pytest.Session) -> None:
    """A pytest-xdist that loses the groups says nothing, and nodes of two workers disturb tests."""
    if session.config.getoption("loadgroup", False):
        lost = [
            i for i in session.items if i.get_closest_marker("xdist_group") and "@" not in i.nodeid
        ]
        if lost:
            raise pytest.UsageError(
                f"{lost[0].nodeid} has lost its group: install pytest below 9.2"
            )


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No fixture sees or fills the caches of the person who runs the tests, or uses the network."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        _use_cache(patch, folder)
        yield folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a test see those of another one."""
    _use_cache(monkeypatch, tmp_path_factory.mktemp("cache"))


def _use_cache(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setenv("DINOISER_CACHE", str(folder))
    patch.setenv("HF_HUB_CACHE", str(folder))
    for name in ("DINOISER_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        patch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def expected() -> dict[str, np.ndarray]:
    """What the authors' implementation computes with the golden model."""
    with np.load(GOLDEN / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_model(_no_cache_of_people: Path) -> tuple[Any, Path]:
    """A segmenter of the golden prompts, and the folder in which their embeddings are kept."""
    from dinoiser_ros.segmentation import Segmenter

    segmenter = Segmenter(**GOLDEN_MODEL, inference_size=0, device="cpu", precision="float32")
    segmenter.set_prompts(GOLDEN_PROMPTS)
    return segmenter, _no_cache_of_people / "text"


@pytest.fixture
def golden(golden_model: tuple[Any, Path]):
    """A fresh segmenter with the golden model and prompts, in float32 on the CPU."""
    from dinoiser_ros.segmentation import Segmenter

    texts = Path(os.environ["DINOISER_CACHE"]) / "text"
    shutil.copytree(golden_model[1], texts, dirs_exist_ok=True)
    segmenter = Segmenter(**GOLDEN_MODEL, inference_size=0, device="cpu", precision="float32")
    segmenter.set_prompts(GOLDEN_PROMPTS)
    return segmenter


@pytest.fixture(scope="session")
def segmenter(golden_model: tuple[Any, Path]):
    """The same, loaded once for all tests that leave it as they found it."""
    return golden_model[0]


@pytest.fixture
def quick(segmenter, monkeypatch: pytest.MonkeyPatch):
    """The same, but `segment` only looks at the brightness."""
    monkeypatch.setattr(segmenter, "segment", partial(segment_by_brightness, segmenter))
    return segmenter


@pytest.fixture(scope="module")
def camera(client: Client) -> FakeCamera:
    """A camera on the topic that the node of the test module's own `client` subscribes to."""
    camera = FakeCamera(client)
    camera.connect()
    return camera
