# SPDX-License-Identifier: Apache-2.0
"""Engine options as command line arguments, and the segmenter that they describe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Iterable
from typing import Any

from dinoiser_ros.option_schema import MODEL_OPTIONS
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.option import Option

Parser = argparse.ArgumentParser | argparse._ArgumentGroup

_COMPUTING = ("device", "precision", "engine")  # where and how a model computes, not which one
_NOT_OFFERED = ("cuda_graphs",)  # for tests and comparisons
_PLACEHOLDERS = {"px": "PIXELS"}  # by unit


def add_option_arguments(parser: Parser, options: Iterable[Option]) -> None:
    """Declare one argument for each option, with its default, type, choices and help."""
    for option in options:
        parser.add_argument(f"--{option.name.replace('_', '-')}", **_argument(option))


def add_file_arguments(parser: Parser) -> None:
    """Declare which model `load` loads, but not how it computes."""
    add_option_arguments(parser, _model_options(without=_COMPUTING))


def add_model_arguments(parser: Parser) -> None:
    """Declare all that `load` reads."""
    add_option_arguments(parser, _model_options())


def load(options: argparse.Namespace, method: str, **more: Any) -> Segmenter:
    """The segmenter of a command line with `add_model_arguments`.

    Args:
        options: the parsed command line.
        method: the segmentation method.
        more: further options of `Segmenter`.

    Raises:
        DinoiserError: see `Segmenter`.
    """
    model = {option.name: getattr(options, option.name) for option in _model_options()}
    return Segmenter(method=method, progress=_print_progress, **model, **more)


def _model_options(without: Container[str] = ()) -> list[Option]:
    return [
        option
        for option in MODEL_OPTIONS
        if option.name not in _NOT_OFFERED and option.name not in without
    ]


def _argument(option: Option) -> dict[str, Any]:
    """What argparse is told about an option, but for its name."""
    told: dict[str, Any] = {"default": option.default, "help": _help(option)}
    if option.kind is bool:
        told["action"] = argparse.BooleanOptionalAction if option.default else "store_true"
        return told
    if option.kind is not str:
        told["type"] = option.kind
        told["metavar"] = _PLACEHOLDERS.get(option.unit) or _range(option)
    elif option.choices:
        told["choices"] = option.choices
    return told


def _range(option: Option) -> str | None:
    if option.minimum is None or option.maximum is None:
        return None
    return f"{option.minimum:g}..{option.maximum:g}"


def _help(option: Option) -> str:
    text = option.description.replace("%", "%%")
    if option.unset_means:
        text = f"{text.rstrip('.')}; by default {option.unset_means}"
        if option.special_means:
            text += f", {option.special}: {option.special_means}"
    elif option.kind is not bool:
        text += " (%(default)s)"
    return text


def _print_progress(received: int, total: int | None) -> None:
    if not sys.stderr.isatty():
        return
    share = f"{100 * received / total:3.0f} %" if total else f"{received >> 20} MiB"
    end = "\n" if received == total else ""
    print(f"\rdownloading {share}", end=end, file=sys.stderr, flush=True)
