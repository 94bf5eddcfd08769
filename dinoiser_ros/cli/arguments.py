# SPDX-License-Identifier: Apache-2.0
"""Which model, and where it computes: what the commands that segment have in common."""

from __future__ import annotations

import argparse
import sys

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.models.registry import MODELS
from dinoiser_ros.segmentation.options import PRECISIONS

Parser = argparse.ArgumentParser | argparse._ArgumentGroup


def add_file_arguments(parser: Parser) -> None:
    """Declare which model `load` loads, but not how it computes."""
    parser.add_argument(
        "--model",
        default="vit-b-16",
        help=f"{', '.join(MODELS)}, or the path of an OpenCLIP config or of a checkpoint of "
        "maskclip+ (%(default)s)",
    )
    parser.add_argument("--weights", help="path or URL of the model's weights")
    parser.add_argument("--heads", help="path or URL of CLIP-DINOiser's heads")
    parser.add_argument("--dino", help="path or URL of a DINO ViT, see the README")
    parser.add_argument("--diffusion", help="folder or hub name of a Stable Diffusion")
    parser.add_argument("--offline", action="store_true", help="never use the network")


def add_model_arguments(parser: Parser) -> None:
    """Declare all that `load` reads."""
    add_file_arguments(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument("--precision", default="auto", choices=("auto", *PRECISIONS))


def load(options: argparse.Namespace, method: str, **more: object) -> Segmenter:
    """The segmenter of a command line with `add_model_arguments`.

    Args:
        more: further options of `Segmenter`.

    Raises:
        DinoiserError: see `Segmenter`.
    """
    return Segmenter(
        options.model, options.weights, options.heads,
        method=method, dino=options.dino, diffusion=options.diffusion,
        device=options.device, precision=options.precision, offline=options.offline,
        progress=_print_progress, **more,
    )  # fmt: skip


def _print_progress(received: int, total: int | None) -> None:
    if not sys.stderr.isatty():
        return
    share = f"{100 * received / total:3.0f} %" if total else f"{received >> 20} MiB"
    end = "\n" if received == total else ""
    print(f"\rdownloading {share}", end=end, file=sys.stderr, flush=True)
