# SPDX-License-Identifier: Apache-2.0
"""Whether a file is what its name says, before anybody relies on it: a download, or a cache's."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import torch
from safetensors import safe_open

from dinoiser_ros.errors import WeightsError

# What PyTorch before 1.6 put in front of everything: a pickle (protocol 2) of its magic number.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_SHOWN = 40  # bytes of a file's beginning in a message


def check_file(path: Path, name: str, whole: bool = False) -> None:
    """Open a file as what it must be.

    Args:
        path: where it is.
        name: its name, whose suffix tells what it must be: .safetensors, .json, or else PyTorch's.
        whole: also read files of PyTorch before 1.6 to their end, which takes as long as loading
            them; the others tell from a small part whether they are complete.

    Raises:
        WeightsError: it is something else or not complete. The message is a clause, such as "it is
            empty".
    """
    if path.stat().st_size == 0:
        raise WeightsError("it is empty")
    kind, check = {
        ".safetensors": ("safetensors file", _check_safetensors),
        ".json": ("JSON file", _check_json),
    }.get(Path(name).suffix, ("PyTorch file", _check_pytorch))
    try:
        check(path, whole)
    except Exception as error:  # whatever a reader says to bytes of any kind
        raise WeightsError(f"it is no complete {kind}: {_looks_like(path)}") from error


def _check_safetensors(path: Path, _: bool) -> None:
    with safe_open(path, framework="pt"):  # checks the header, and the length against it
        pass


def _check_json(path: Path, _: bool) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _check_pytorch(path: Path, whole: bool) -> None:
    with path.open("rb") as file:
        legacy = file.read(len(_LEGACY)) == _LEGACY
    if not legacy:
        with zipfile.ZipFile(path) as archive:  # its table of contents is at the end
            if not any(name.endswith("/data.pkl") for name in archive.namelist()):
                raise ValueError("no archive of PyTorch")
    elif whole:
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            if unknown_type(error) is None:  # the file is complete, whatever else it holds
                raise


def unknown_type(error: Exception) -> str | None:
    """The type that a PyTorch file was refused for, by what torch.load said; None: another reason.

    With `weights_only` it reads tensors and plain containers, and names whatever else it meets.
    """
    found = re.search(r"(?:GLOBAL|[Uu]nsupported class|[Uu]nsupported type)\s+([\w.]+)", str(error))
    return found[1] if found else None


def _looks_like(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(_SHOWN)
    text = start.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        return "it is a web page, as a login page or a proxy sends it"
    if text.isprintable() and text:
        return f"it begins with {text!r}"
    return "it is cut off or of another kind"
