# SPDX-License-Identifier: Apache-2.0
"""Examples on disk: a safetensors file with features, names and the identity of their model.

It holds no pictures. The identity is a SHA-256 of the model that computed the features: those of
another model mean nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from dinoiser_ros.errors import ExampleError, WeightsError
from dinoiser_ros.segmentation.weights.checkpoint import read_checkpoint, shapes_of
from dinoiser_ros.segmentation.weights.tensor_checks import check_values
from dinoiser_ros.utils.atomic_files import atomic_write
from dinoiser_ros.utils.texts import shorten

from .example_set import BACKGROUND_PATCHES, MAX_EXAMPLES, Example, ExampleSet, clean_name

SUFFIX = ".safetensors"
FORMAT, VERSION = "dinoiser_ros examples", "1"
_FEATURES, _BACKGROUND = "features", "background"
_MOST_BYTES = 256 << 20  # 512 examples of 4096 numbers each


def examples_path(path: str | Path) -> Path:
    """Where examples are kept.

    Raises:
        ExampleError: the name does not end as that of a safetensors file, or is that of a folder.
    """
    place = Path(path).expanduser()
    if place.suffix != SUFFIX:
        raise ExampleError(f"{place} cannot be examples_file: let its name end in {SUFFIX}.")
    if place.is_dir():
        raise ExampleError(f"{place} is a folder: give the name of a file as examples_file.")
    return place


def read_examples(path: Path, identity: str, model: str) -> ExampleSet:
    """Read a file of examples; one that does not exist has none.

    Args:
        identity: of the model in use, see `Assembly.identity`.
        model: its name, for the message.

    Raises:
        WeightsError: the file is none of examples, is damaged, or is that of another model.
    """
    if not path.exists():
        return ExampleSet()
    if path.stat().st_size > _MOST_BYTES:
        raise WeightsError(f"{path} is too large for a file of examples: give another.")
    state, metadata = read_checkpoint(path)
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise WeightsError(f"{path} is no file of examples: give one that `dinoiser teach` wrote.")
    if metadata.get("model") != identity:
        raise WeightsError(
            f"{path} has examples of the model {shorten(metadata.get('model_name', '?'))!r}, which "
            f"are of no use to the model {model!r}: give another examples_file and teach again."
        )
    names = _names(metadata.get("names", ""), path)
    shapes = {name: tuple(shape) for name, shape in shapes_of(state).items()}
    width = shapes.get(_FEATURES, (0,))[-1]  # the identity says which model's
    wanted = {
        _FEATURES: (len(names), width),
        _BACKGROUND: (len(names), BACKGROUND_PATCHES, width),
    }
    if shapes != wanted:
        raise WeightsError(
            f"{path} has other tensors than its {len(names)} names need: teach anew."
        )
    features, background = (_unit(state[name], name, path) for name in wanted)
    pairs = zip(names, map(Example, features, background), strict=True)
    return ExampleSet(tuple(pairs))


def write_examples(path: Path, examples: ExampleSet, identity: str, model: str) -> None:
    """Write a file of examples completely or not at all; without examples it is removed.

    Raises:
        ExampleError: it cannot be written.
    """
    try:
        if not len(examples):
            path.unlink(missing_ok=True)
            return
        tensors = {
            _FEATURES: torch.stack([example.feature for _, example in examples]).half().cpu(),
            _BACKGROUND: torch.stack([example.background for _, example in examples]).half().cpu(),
        }
        metadata = {
            "format": FORMAT,
            "version": VERSION,
            "model": identity,
            "model_name": model,
            "names": json.dumps([name for name, _ in examples]),
        }
        with atomic_write(path) as place:
            save_file(tensors, place, metadata)
    except OSError as error:
        raise ExampleError(
            f"The examples cannot be kept in {path} ({error.strerror or error}): give another "
            "examples_file."
        ) from error


def _names(text: str, path: Path) -> list[str]:
    try:
        names = json.loads(text)
        if not isinstance(names, list) or not 0 < len(names) <= MAX_EXAMPLES:
            raise ExampleError("no list of names")
        cleaned = [clean_name(name) for name in names]
    except Exception:  # json's, RecursionError among them: it is not readable, whatever it is
        cleaned, names = [], None
    if cleaned != names:
        raise WeightsError(f"{path} has no readable names in its header: teach anew.")
    return cleaned


def _unit(tensor: Tensor, name: str, path: Path) -> Tensor:
    """Unit vectors in float32.

    Raises:
        WeightsError: they are no numbers, or of another length than 1.
    """
    if tensor.dtype != torch.float16:
        raise WeightsError(f"{path} has {name} that are not float16: teach anew.")
    values = tensor.float()
    check_values(name, values, str(path))
    if ((values.norm(dim=-1) - 1.0).abs() > 0.01).any():
        raise WeightsError(f"{path} has {name} that are no directions: it is damaged, teach anew.")
    return F.normalize(values, dim=-1)
