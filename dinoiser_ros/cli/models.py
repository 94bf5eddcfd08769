# SPDX-License-Identifier: Apache-2.0
"""`dinoiser models`: which models there are, and which of their files are on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.models.registry import MODELS, find_model
from dinoiser_ros.segmentation.models.specs import ModelSpec
from dinoiser_ros.segmentation.weights.sources import Source, find_file

DESCRIPTION = """\
List the models with their size, licence and methods, and say which are on this machine. With a
name, or the path of an entry of your own: its files, and what papers say of its quality. Nothing
is fetched.
"""
_HEADINGS = ("model", "weights", "patch", "size", "on this disk", "methods", "licence")
_BYTES = 4  # of a weight, in the files that are fetched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` reads."""
    parser.add_argument("name", nargs="?", help="of a model, to see its files and quoted quality")


def run(options: argparse.Namespace) -> int:
    """Print the list or one model; returns the exit status 0.

    Raises:
        WeightsError: there is no such model.
    """
    if options.name:
        print("\n".join(_details(find_model(options.name))))
    else:
        rows = [_HEADINGS, *(_row(make()) for make in MODELS.values())]
        print("\n".join(_aligned(rows)))
    return 0


def _row(spec: ModelSpec) -> tuple[str, ...]:
    weights = f"{spec.parameters:g} M" if spec.parameters else "?"
    patch = str(spec.patch_size or "")
    size = f"{spec.inference_size} px" if spec.patch_size else ""
    return (
        spec.name, weights, patch, size, _on_disk(spec), ", ".join(spec.methods), spec.licence,
    )  # fmt: skip


def _on_disk(spec: ModelSpec) -> str:
    """The megabytes that are there; what is not, in brackets."""
    found = {part: _found(sources) for part, sources in spec.sources.items()}
    missing = [part for part, path in found.items() if path is None]
    if len(missing) == len(found):
        megabytes = (spec.parameters or 0) * _BYTES
        return f"no (about {megabytes:.0f} MB)" if megabytes else "no"
    there = sum(path.stat().st_size for path in found.values() if path is not None) / 1e6
    lacking = f" (no {', no '.join(missing)})" if missing else ""
    return f"{there:.0f} MB{lacking}"


def _found(sources: tuple[Source, ...]) -> Path | None:
    try:
        return find_file(sources, offline=True)
    except WeightsError:
        return None


def _details(spec: ModelSpec) -> Iterator[str]:
    yield f"{spec.name}: {spec.about}" if spec.about else spec.name
    if spec.licence:
        yield f"licence: {spec.licence}"
    if spec.methods:
        yield f"methods: {', '.join(spec.methods)}"
    for part, sources in spec.sources.items():
        path = _found(sources)
        yield f"{part}: {path}" if path else f"{part}: not here, from {sources[0].location}"
    for quoted in spec.quoted:
        numbers = ", ".join(f"{name} {value:g}" for name, value in quoted.miou.items())
        yield f"mIoU quoted for {quoted.method} from {quoted.source}: {numbers}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip()
