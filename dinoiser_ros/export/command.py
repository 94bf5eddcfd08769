# SPDX-License-Identifier: Apache-2.0
"""`dinoiser export`: write a model as ONNX and make sure that the file computes the same."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dinoiser_ros.errors import ExportError
from dinoiser_ros.segmentation import Segmenter, Vocabulary
from dinoiser_ros.segmentation.engines.onnx_tracing import OPSET
from dinoiser_ros.segmentation.options import Options
from dinoiser_ros.utils.number_types import positive, share

from .graph import EXPORTED, Graph
from .prompts import prompt_arrays

Load = Callable[..., Segmenter]

DESCRIPTION = """\
Write a model as an ONNX file for TensorRT, ONNX Runtime and the like, and compare it with the
original. What the file computes:

  images         in   (B, 3, H, W) float32 RGB in [0, 1], or with --uint8 bytes; padding and
                      normalising are done inside, resizing is not: see inference_size in the
                      file's metadata for the shorter side that the model works best at
  texts          in   (K, S, d) float32: unit embeddings of S phrases for each of K classes, as
                      --prompts writes them; a class of fewer phrases repeats one
  background     in   (K,) float32, 1 for the class of all that does not look like an object, else 0
                      (methods named dinoiser, unless --background-filter off)
  probabilities  out  (B, K, h, w) float32, one cell for each patch (maskclip+: of its own grid)
  labels         out  (B, H, W) int32, with --labels
  confidence     out  (B, H, W) float32, with --labels

The prompts are not fixed: one file takes any texts and any number of classes. A checkpoint of
maskclip+ knows the texts that it was trained with, which are always written beside the file.
"""
# Options of a segmenter that become constants of the file.
_THRESHOLDS = ("gamma", "delta", "ks_threshold", "pd_threshold")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` reads, but for the model's own arguments."""
    defaults = Options()
    parser.add_argument("--method", choices=EXPORTED, default=defaults.method)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("dinoiser.onnx"), help="the file (%(default)s)"
    )
    parser.add_argument(
        "-p", "--prompts", nargs="+", metavar="TEXT",
        help="embed these and write them beside the file as <name>.prompts.npz: texts, "
        "background and the classes' names",
    )  # fmt: skip
    parser.add_argument(
        "--labels", action="store_true", help="also compute labels and confidence of all pixels"
    )
    parser.add_argument("--uint8", action="store_true", help="images are bytes, 0 to 255")
    for side in ("height", "width"):
        parser.add_argument(
            f"--{side}",
            type=positive,
            metavar="PIXELS",
            help="fix this side (any size unless both are given)",
        )
    parser.add_argument(
        "--opset", type=positive, default=OPSET, help="ONNX operator set version (%(default)s)"
    )
    parser.add_argument(
        "--background-filter", choices=("auto", "off"), default=defaults.background_filter
    )
    parser.add_argument(
        "--background-uncertainty",
        action=argparse.BooleanOptionalAction,
        default=defaults.background_uncertainty,
    )
    for name in _THRESHOLDS:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=share, metavar="0..1",
            default=getattr(defaults, name), help="becomes a constant of the file",
        )  # fmt: skip


def run(options: argparse.Namespace, load: Load) -> int:
    """Export, check and say what was written.

    Args:
        options: from a parser with `add_arguments`.
        load: called with a segmenter's options by name, gives it in float32 on the CPU.

    Returns:
        The exit status 0.

    Raises:
        ExportError: it cannot be written, or the file computes something else.
        DinoiserError, OSError: see `Segmenter`; or the file cannot be written.
    """
    size = _size(options.height, options.width)
    _require_packages()
    segmenter = load(
        method=options.method,
        background_filter=options.background_filter,
        background_uncertainty=options.background_uncertainty,
        **{name: getattr(options, name) for name in _THRESHOLDS},
    )
    # Before the file, since prompts may be refused.
    vocabulary = _vocabulary(segmenter, options.prompts)
    export(
        segmenter, options.output,
        pixels=options.labels, uint8=options.uint8, size=size, opset=options.opset, report=print,
    )  # fmt: skip
    print(f"written: {options.output} ({options.output.stat().st_size / 1e6:.1f} MB)")
    if vocabulary is not None:
        place = options.output.with_suffix(".prompts.npz")
        arrays: dict[str, Any] = prompt_arrays(vocabulary)
        np.savez(place, **arrays)
        print(f"written: {place} ({', '.join(entry.name for entry in vocabulary.classes)})")
    return 0


def _vocabulary(segmenter: Segmenter, prompts: list[str] | None) -> Vocabulary | None:
    """What is written beside the file: nothing is asked for, but maskclip+ brings its classes."""
    return segmenter.embed_prompts(prompts) if prompts else segmenter.trained


def export(
    segmenter: Segmenter,
    path: Path,
    *,
    pixels: bool = False,
    uint8: bool = False,
    size: tuple[int, int] | None = None,
    opset: int = OPSET,
    report: Callable[[object], None] = lambda line: None,
) -> None:
    """Write a segmenter's method as ONNX; the file appears when it has been found to be right.

    Args:
        segmenter: in float32 on the CPU.
        path: the file.
        pixels: whether it computes labels and confidence of every pixel, too.
        uint8: whether it takes bytes instead of floats in [0, 1].
        size: height and width of the images, None for any.
        opset: version of ONNX's operators.
        report: called with a `Comparison` for every size that was tried.

    Raises:
        ExportError: it cannot be written, or the file computes something else.
        OSError: the file cannot be written.
    """
    _require_packages()
    from .check import TOLERANCE, compare, shapes_to_check
    from .onnx_file import describe, write_onnx

    graph = Graph(segmenter, pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    unchecked = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write_onnx(graph, unchecked, opset=opset, size=size, uint8=uint8)
        describe(unchecked, segmenter, graph)
        shorter = segmenter.default_inference_size
        shapes = [(1, *size), (2, *size)] if size else shapes_to_check(graph.cell, shorter)
        for comparison in compare(unchecked, segmenter, shapes):
            report(comparison)
            if not comparison.holds:
                raise ExportError(
                    f"The file does not compute what the model does ({comparison}, more than "
                    f"{TOLERANCE:g}), so it was removed: try another --opset, or other versions of "
                    "torch and onnxruntime."
                )
        os.replace(unchecked, path)
    finally:
        unchecked.unlink(missing_ok=True)


def _size(height: int | None, width: int | None) -> tuple[int, int] | None:
    if height is None and width is None:
        return None
    if height is None or width is None:
        raise ExportError("A fixed size needs --height and --width: give both.")
    return height, width


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"Exporting needs onnx and onnxruntime ({error}): run pip install '.[export]'."
        ) from error
