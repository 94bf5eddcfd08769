# SPDX-License-Identifier: Apache-2.0
"""Frames as CUDA graphs, as far as that can be tried without a GPU: the graph is a recording."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from dino_files import write_dino
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS
from recorded_graph import record
from torch import Tensor
from torch.nn.functional import normalize

from dinoiser_ros.segmentation import Segmentation, SegmentationClass, Segmenter
from dinoiser_ros.segmentation.inference.cuda_graph_cache import Replays
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.options import Options
from dinoiser_ros.segmentation.pixels import postprocess as labels
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary

CPU = torch.device("cpu")


class Counted:
    """A capture that is counted."""

    def __init__(self, capture: Callable = record) -> None:
        self.made = self.replayed = 0
        self._capture = capture

    def __call__(self, compute: Callable[[Tensor], Tensor], pixels: Tensor) -> tuple:
        self.made += 1
        replay, packed = self._capture(compute, pixels)

        def counted() -> None:
            self.replayed += 1
            replay()

        return counted, packed


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory):
    return write_dino(tmp_path_factory.mktemp("dino") / "dino.safetensors")


@pytest.fixture(scope="module")
def loaded(dino) -> tuple[Segmenter, Segmenter]:
    """Two that have nothing in common; every test gets them as they came."""
    return make(dino), make(dino)


@pytest.fixture
def plain(loaded) -> Segmenter:
    return as_it_came(loaded[0])


@pytest.fixture
def replaying(loaded) -> Segmenter:
    return as_it_came(loaded[1], Counted())


def make(dino, capture: Callable | None = None) -> Segmenter:
    """The golden segmenter as it is on a GPU, but for where it computes."""
    made = Segmenter(**GOLDEN_MODEL, inference_size=0, dino=dino, device="cpu", precision="float32")
    made.set_prompts(GOLDEN_PROMPTS)
    made._replays = Replays(CPU, capture)
    return made


def as_it_came(segmenter: Segmenter, capture: Callable | None = None) -> Segmenter:
    segmenter.set_options(**vars(Options(inference_size=0)))
    segmenter.set_prompts(GOLDEN_PROMPTS)
    segmenter._replays = Replays(CPU, capture)
    return segmenter


def many_classes(dim: int) -> Vocabulary:
    """A background and 299 classes whose embeddings are near each other, as texts' are."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(1, dim, generator=generator)
    embeddings = embeddings + 0.3 * torch.randn(300, dim, generator=generator)
    prompts = ("background", *(f"thing {number}" for number in range(1, 300)))
    classes = tuple(SegmentationClass(i, name, (name,)) for i, name in enumerate(prompts))
    return Vocabulary(prompts, classes, normalize(embeddings, dim=-1), torch.arange(300))


def image(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Smooth, so that the classes have areas rather than specks."""
    coarse = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    full = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (full[0].permute(1, 2, 0) * 255).to(torch.uint8).contiguous().numpy()


def check(found: Segmentation, expected: Segmentation) -> None:
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    assert found.classes == expected.classes


@pytest.mark.parametrize(
    "method", sorted(METHODS.keys() - {"cliper-diffusion", "talk2dino", "maskclip+"})
)
def test_replayed_frames_are_segmented_as_others(method, plain, replaying):
    for segmenter in (plain, replaying):
        segmenter.set_options(method=method, inference_size=48, confidence_threshold=0.3)
    found = [replaying.segment(image(seed)) for seed in range(5)]
    for seed, segmentation in enumerate(found):
        check(segmentation, plain.segment(image(seed)))
    assert len({segmentation.labels.tobytes() for segmentation in found}) > 1
    capture = replaying._replays._capture
    assert replaying.cuda_graphs_problem is None
    assert (capture.made, capture.replayed) == (1, 1 + 3)  # the first to see whether it is right


def test_background_from_found_is_replayed(plain, replaying):
    for segmenter in (plain, replaying):
        segmenter.set_prompts(["background", "red ball", "floor"])
        segmenter.set_options(background_source="found", background_uncertainty=False)
    for seed in range(4):
        check(replaying.segment(image(seed)), plain.segment(image(seed)))
    assert replaying.cuda_graphs_problem is None


def test_many_classes_are_replayed_as_a_gpu_labels_them(plain, replaying, monkeypatch):
    for segmenter in (plain, replaying):
        segmenter.use(many_classes(plain.backbone.dim))
    expected = [plain.segment(image(seed)) for seed in range(4)]
    monkeypatch.setattr(labels, "_FEW_ELEMENTS", 40 * 56 * 7)
    monkeypatch.setattr(
        "dinoiser_ros.segmentation.inference.forward.label_pixels", labels._label_plainly
    )
    for seed in range(4):
        found = replaying.segment(image(seed))
        assert found.labels.dtype == np.uint16
        assert (found.labels == expected[seed].labels).mean() > 0.999
        np.testing.assert_allclose(found.confidence, expected[seed].confidence, atol=1.01 / 255)
    assert replaying._replays._capture.made == 1


def test_what_waits_for_a_value_is_not_replayed(plain, replaying):
    """As a CPU labels many classes, for which it counts candidates."""
    for segmenter in (plain, replaying):
        segmenter.use(many_classes(plain.backbone.dim))
    for seed in range(4):
        check(replaying.segment(image(seed)), plain.segment(image(seed)))
    assert "not permitted when stream is capturing" in replaying.cuda_graphs_problem


def test_every_size_and_batch_has_its_graph(plain, replaying):
    groups = [[image(0)], [image(1), image(2)], [image(3, 33, 47)]]
    for number in range(4):
        for group in groups:
            pictures = [np.roll(picture, number, axis=1) for picture in group]
            for found, expected in zip(
                replaying.segment_batch(pictures), plain.segment_batch(pictures), strict=True
            ):
                check(found, expected)
    capture = replaying._replays._capture
    assert (capture.made, capture.replayed) == (3, 3 + 3 * 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda segmenter: segmenter.set_prompts(["background", "floor"]),
        lambda segmenter: segmenter.set_options(gamma=0.7),
        lambda segmenter: segmenter.set_options(confidence_threshold=0.9),
        lambda segmenter: segmenter.set_options(method="maskclip"),
        lambda segmenter: segmenter.set_options(inference_size=24),
    ],
)
def test_changes_hold_from_the_next_frame_on(change, plain, replaying):
    for _ in range(3):
        replaying.segment(image(0))
    change(plain), change(replaying)
    for seed in range(4):
        check(replaying.segment(image(seed)), plain.segment(image(seed)))
    assert replaying._replays._capture.made == 2


def test_sizes_that_come_once_are_never_captured(replaying):
    for width in range(32, 52):
        replaying.segment(image(0, 32, width))
    capture = replaying._replays._capture
    assert capture.made == 0
    assert len(replaying._replays._known) == 8


def fails(compute: Callable, pixels: Tensor) -> tuple:
    raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")


def forgets(compute: Callable, pixels: Tensor) -> tuple:
    return (lambda: None), compute(pixels).zero_()


def ignores_pixels(compute: Callable, pixels: Tensor) -> tuple:
    return (lambda: None), compute(torch.zeros_like(pixels))


@pytest.mark.parametrize(
    ("capture", "reason"),
    [
        (fails, r"RuntimeError: CUDA error: operation not permitted when stream is capturing\)"),
        (forgets, "other labels on"),
        (ignores_pixels, "other labels on"),
    ],
)
def test_without_graphs_that_are_right_all_goes_on(capture, reason, plain, dino):
    segmenter = make(dino, Counted(capture))
    counted = segmenter._replays._capture
    for seed in range(4):
        check(segmenter.segment(image(seed)), plain.segment(image(seed)))
    assert counted.made == 1  # it is not tried again with the same prompts and options
    assert re.search(reason, segmenter.cuda_graphs_problem)
    segmenter._replays._capture = Counted()
    segmenter.set_options(gamma=0.5)
    for _ in range(3):
        segmenter.segment(image(0))
    assert segmenter.cuda_graphs_problem is None
    assert segmenter._replays._capture.replayed == 2


@pytest.mark.parametrize("look", [bool, int, float, lambda value: value.item()])
def test_whoever_looks_at_a_value_cannot_be_recorded(look):
    replays = Replays(CPU, record)
    for _ in range(3):
        replays(lambda pixels: pixels.repeat(2, 1, 1, 1) * look(pixels.max()), pixels(), (1, 1), ())
    assert "not permitted when stream is capturing" in replays.problem


def pixels() -> Tensor:
    return torch.ones(1, 1, 1, 3, dtype=torch.uint8)


def test_an_error_frees_the_graphs(replaying, monkeypatch):
    for size in ((40, 56), (32, 32)):
        for _ in range(3):
            replaying.segment(image(0, *size))
    graph = weakref.ref(next(iter(replaying._replays._known.values())))
    assert graph() is not None

    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("dinoiser_ros.segmentation.segmenter.label_batch", full)
        with pytest.raises(torch.cuda.OutOfMemoryError):
            replaying.segment(image(0, 24, 24))
    gc.collect()
    assert graph() is None
    assert replaying.segment(image(0)).labels.shape == (40, 56)


def test_what_a_graph_reads_stays_in_memory(dino):
    def bare(compute: Callable[[Tensor], Tensor], pixels: Tensor) -> tuple:
        """Like a CUDA graph, it keeps nothing alive itself."""
        expected = compute(pixels)
        return (lambda: None), expected

    segmenter = make(dino, bare)
    for _ in range(2):
        segmenter.segment(image(0))
    positions = segmenter.backbone._positions
    kept = [weakref.ref(tensor) for tensor in positions.values()]
    assert kept and segmenter.cuda_graphs_problem is None
    positions.clear()
    gc.collect()
    assert all(tensor() is not None for tensor in kept)
    segmenter.set_options(gamma=0.5)  # another setting: the graphs go, and with them the memory
    segmenter.segment(image(0, 24, 24))
    gc.collect()
    assert not any(tensor() is not None for tensor in kept)


def test_threads_get_their_own_results(plain, replaying):
    expected = {seed: plain.segment(image(seed)) for seed in range(4)}
    found: dict[int, list[Segmentation]] = {seed: [] for seed in expected}

    def work(seed: int) -> None:
        for _ in range(10):
            found[seed].append(replaying.segment(image(seed)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, results in found.items():
        assert len(results) == 10
        for result in results:
            check(result, expected[seed])
