# SPDX-License-Identifier: Apache-2.0
"""One method over the samples of one benchmark."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from dinoiser_ros.evaluation.datasets.benchmarks import Benchmark
from dinoiser_ros.evaluation.datasets.samples import Sample
from dinoiser_ros.evaluation.metrics.tally import Tally
from dinoiser_ros.segmentation import OptionError, PromptError, Segmenter
from dinoiser_ros.utils.progress import progress_bar

from . import sliding_window as sliding
from .state import State

Predict = Callable[[np.ndarray], np.ndarray]
Load = Callable[[str], Segmenter]
Bar = Callable[[Sequence[Sample]], Iterable[Sample]]


def over_samples(title: str, total: int) -> Bar:
    """A progress bar for `evaluate`; nothing where the errors do not go to a terminal.

    Args:
        total: all samples, those that are counted already included.
    """

    def show(left: Sequence[Sample]) -> Iterator[Sample]:
        done = total - len(left)
        with progress_bar(title, total, "picture", initial=done) as progress:
            for sample in left:
                yield sample
                progress.update()

    return show


def with_method(segmenter: Segmenter, method: str, load: Load) -> Segmenter:
    """The segmenter, with another method; loaded anew if that needs weights which it lacks.

    Args:
        load: loads a segmenter with a method.

    Raises:
        DinoiserError: the method cannot be had with this model.
    """
    try:
        segmenter.set_options(method=method)
    except OptionError:
        return load(method)
    return segmenter


def prepare(segmenter: Segmenter, benchmark: Benchmark) -> None:
    """Set the prompts and options that a benchmark asks for."""
    if _prompts(segmenter) != benchmark.classes:
        segmenter.set_prompts(list(benchmark.classes))
    segmenter.set_options(
        background_filter="auto" if benchmark.filter_background else "off",
        confidence_threshold=0.0,
        inference_size=0,
    )


def _prompts(segmenter: Segmenter) -> tuple[str, ...]:
    """The prompts in use, none if none are set."""
    try:
        return segmenter.vocabulary.prompts
    except PromptError:
        return ()


def predictor(segmenter: Segmenter, benchmark: Benchmark) -> Predict:
    """How a prepared segmenter labels one picture of a benchmark: (H, W, 3) uint8 -> (H, W) ids."""
    if not benchmark.windows:
        return lambda rgb: np.asarray(segmenter.segment(rgb).labels)

    def probabilities(window: np.ndarray) -> Tensor:
        # Back to where the network is: the maps in full size are what costs time here.
        return torch.from_numpy(segmenter.probabilities(window)).to(segmenter.device)

    # Without patches, as with maskclip+, the grid divides the window.
    patch_size = segmenter.backbone.patch_size if segmenter.backbone else 1
    return lambda rgb: sliding.segment_in_windows(rgb, probabilities, patch_size)


def settings(
    segmenter: Segmenter, benchmark: Benchmark, samples: Sequence[Sample]
) -> dict[str, object]:
    """All that the counts of one method on one benchmark depend on, as JSON values."""
    names = "\n".join(sample.name for sample in samples)
    protocol = [sliding.SHORTER_SIDE, sliding.WINDOW, sliding.STRIDE] if benchmark.windows else []
    return {
        "model": segmenter.model_name,
        "backbone": backbone_digest(segmenter),
        "heads": _heads_digest(segmenter),
        "dino": segmenter.dino and _digest(segmenter.dino.visual.state_dict().values()),
        "precision": segmenter.precision,
        "options": {name: str(value) for name, value in asdict(segmenter.options).items()},
        "prompts": list(benchmark.classes),
        "protocol": protocol,
        "pictures": hashlib.sha256(names.encode()).hexdigest()[:16],
    }


def backbone_digest(segmenter: Segmenter) -> str:
    """A few characters that differ between backbones, or networks, of different weights."""
    network = segmenter.backbone.visual if segmenter.backbone else segmenter.network
    assert network is not None  # a model has one of the two
    return _digest(network.state_dict().values())


def _heads_digest(segmenter: Segmenter) -> str | None:
    """The same of the heads, None without any."""
    if segmenter.heads is None:
        return None
    return _digest(part for part in vars(segmenter.heads).values() if isinstance(part, Tensor))


def _digest(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def evaluate(
    segmenter: Segmenter,
    benchmark: Benchmark,
    samples: Sequence[Sample],
    state: State,
    bar: Bar = iter,
    variant: str = "",
) -> Tally:
    """Count all samples, those left out that the state has counted already.

    Args:
        segmenter: with the method to be measured; prompts and other options are set here.
        state: gets every new count, and is saved when this ends, however it ends.
        bar: shows progress over the samples that are still to be counted.
        variant: tells apart, in the state, what is counted for one benchmark and method.

    Raises:
        EvaluationError: a sample cannot be read, or the state is that of other settings.
    """
    prepare(segmenter, benchmark)
    predict = predictor(segmenter, benchmark)
    key = "/".join(filter(None, (benchmark.name, segmenter.method, variant)))
    circumstances = settings(segmenter, benchmark, samples)
    tally = state.tally(key, circumstances, len(benchmark.classes))
    try:
        for sample in bar(samples[tally.samples :]):
            loaded = sample.load()
            start = time.perf_counter()
            predicted = predict(loaded.rgb)
            seconds = time.perf_counter() - start
            tally = tally.plus(loaded.labels, predicted, loaded.parts, seconds)
            state.put(key, circumstances, tally)
    finally:
        state.save()
    return tally
