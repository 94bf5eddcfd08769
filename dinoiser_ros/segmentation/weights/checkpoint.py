# SPDX-License-Identifier: Apache-2.0
"""Reading checkpoints: safetensors, or PyTorch files without executing anything in them."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.utils.sentences import first_line

from .file_kinds import unknown_type
from .tensor_checks import can_fill, check_values, stored_type, type_of

State = Mapping[str, Tensor]

# Where a state dict lies in the authors' heads, and in what OpenCLIP's training writes.
STATE_KEYS = ("model_state_dict", "state_dict")

# Constants that some exports carry as tensors; they are rebuilt from the config.
_CONSTANTS = ("attn_mask", "input_resolution", "context_length", "vocab_size", "position_ids")


class StoredTensors(Mapping[str, Tensor]):
    """The tensors of a safetensors file by name, each read from it whenever it is asked for.

    Whoever copies one after the other thus needs memory for one of them besides the copies: pages
    of a file that was mapped as a whole stay until its last tensor goes.

    Attributes:
        shapes, types: of all tensors by name, for which none is read; see `type_of`.
        metadata: the file's.
        fingerprint: of the file as it was opened: another one has another, also in its place.

    Raises:
        WeightsError: the file cannot be read; also later, if it is gone or was written anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with reading(path):
            self._version, self.fingerprint = _version(path), _fingerprint(path)
            with safe_open(path, framework="pt") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
                self.shapes = {n: torch.Size(s.get_shape()) for n, s in slices.items()}
                self.types = {n: stored_type(s.get_dtype()) for n, s in slices.items()}
                self.metadata: dict[str, str] = dict(file.metadata() or {})
        self._stored_names = {name: name for name in self.shapes}

    def renamed(self, own_name: Callable[[str], str | None]) -> StoredTensors:
        """See the function of this name."""
        other = copy.copy(self)
        names = {new: name for name in self.shapes if (new := own_name(name)) is not None}
        other.shapes = {new: self.shapes[name] for new, name in names.items()}
        other.types = {new: self.types[name] for new, name in names.items()}
        other._stored_names = {new: self._stored_names[name] for new, name in names.items()}
        return other

    @property
    def path(self) -> Path:
        """The file's."""
        return self._path

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.shapes:
            raise KeyError(name)
        with reading(self._path):
            unchanged = _version(self._path) == self._version
            with safe_open(self._path, framework="pt") as file:
                if unchanged:
                    tensor: Tensor = file.get_tensor(self._stored_names[name])
                    return tensor
        raise WeightsError(f"{self._path} was changed since it was opened: start again.")

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def read_checkpoint(
    path: Path, nested: tuple[str, ...] = STATE_KEYS
) -> tuple[State, dict[str, str]]:
    """Read tensors by name, and the file's metadata.

    Accepts safetensors and PyTorch files; in the latter a "module." in front of every name is
    removed.

    Args:
        path: a file; its suffix tells the format.
        nested: names that the state dict of a PyTorch file may lie under.

    Raises:
        WeightsError: unreadable, truncated, or it holds more than tensors.
    """
    if path.suffix == ".safetensors":
        stored = StoredTensors(path)
        return stored, stored.metadata
    with reading(path):
        content = torch.load(path, map_location="cpu", weights_only=True)
    return _plain_state(content, path, nested), {}


def renamed(state: State, own_name: Callable[[str], str | None]) -> State:
    """The same tensors by other names, without those that get None; none is read for it."""
    if isinstance(state, StoredTensors):
        return state.renamed(own_name)
    return {new: tensor for name, tensor in state.items() if (new := own_name(name)) is not None}


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what reading a file may raise into a WeightsError."""
    try:
        yield
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): check the file.") from error
    except Exception as error:  # a damaged file makes the unpickler raise almost anything
        if (unknown := unknown_type(error)) is not None:
            raise WeightsError(
                f"{path} cannot be read: it holds an object of type {unknown} besides tensors, "
                "and nothing in a file is executed: load it where it was made, and save its state "
                "dict alone."
            ) from error
        raise WeightsError(
            f"{path} cannot be read ({first_line(error, 120)}): it is damaged or no checkpoint, "
            "fetch it again."
        ) from error


def _version(path: Path) -> tuple[int, ...]:
    """What differs between a file and what is later written in its place."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _fingerprint(path: Path) -> str:
    """What changes when a file does, or another takes its place; 64 characters."""
    found = path.stat()
    times = (found.st_mtime_ns, found.st_ctime_ns)
    place = (os.fspath(path.resolve()), found.st_dev, found.st_ino, found.st_size)
    return hashlib.sha256(repr((place, times)).encode("utf-8", "surrogateescape")).hexdigest()


def _plain_state(content: object, path: Path, nested: tuple[str, ...]) -> State:
    """The state dict inside the object that a PyTorch file holds."""
    for key in nested:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise WeightsError(
            f"{path} holds no state dict but a {type(content).__name__}: give a file of named "
            "tensors."
        )
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} holds no state dict: its entry {str(name)[:60]!r} is "
                f"{type(value).__name__} and no named tensor; save the tensors alone."
            )
        if not _is_whole(value):
            raise WeightsError(
                f"{path} has less data in {name} than its shape needs: it is no file of weights."
            )
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def _is_whole(tensor: Tensor) -> bool:
    """Whether each element has a place of its own in the file, so that it bounds their number."""
    if tensor.is_meta or tensor.layout is not torch.strided:
        return True  # refused for its type, see `check_fit`
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def load_into(module: nn.Module, state: State, source: str) -> None:
    """Fill a module with weights that must fit it exactly.

    Raises:
        WeightsError: see `check_fit` and `copy_into`.
    """
    check_fit(module, state, source)
    copy_into(module, state, module.state_dict(), source)


def check_fit(module: nn.Module, state: State, source: str) -> None:
    """Refuse weights that do not fit a module exactly.

    Raises:
        WeightsError: a tensor is missing, unknown, or has another shape or an unfit type.
    """
    targets = module.state_dict()
    wanted, shapes = shapes_of(targets), shapes_of(state)
    given = {n: s for n, s in shapes.items() if n in wanted or not n.endswith(_CONSTANTS)}
    missing = sorted(wanted.keys() - given.keys())
    unknown = sorted(given.keys() - wanted.keys())
    differing = sorted(n for n in wanted.keys() & given.keys() if wanted[n] != given[n])
    types = state.types if isinstance(state, StoredTensors) else _types(state)
    unfit = sorted(
        f"{n} is {types[n]}"
        for n in wanted.keys() & given.keys()
        if not can_fill(types[n], type_of(targets[n]))
    )
    if missing or unknown or differing or unfit:
        detail = next(
            f"{what} {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            for what, names in (
                ("other shape:", differing),
                ("missing:", missing),
                ("unknown:", unknown),
                ("other type:", unfit),
            )
            if names
        )
        raise WeightsError(
            f"{source} does not fit the model's architecture ({detail}): give the weights that "
            "belong to this config."
        )


def shapes_of(state: State) -> Mapping[str, torch.Size]:
    """The shapes of tensors by name; none is read from its file for it."""
    if isinstance(state, StoredTensors):
        return state.shapes
    return {name: tensor.shape for name, tensor in state.items()}


def _types(state: State) -> dict[str, str]:
    return {name: type_of(tensor) for name, tensor in state.items()}


@torch.no_grad()
def copy_into(module: nn.Module, state: State, names: Iterable[str], source: str) -> None:
    """Copy tensors, one after the other, into those of a module that have their names.

    Raises:
        WeightsError: values that cannot be, see `check_values`.
    """
    targets = module.state_dict()
    for name in names:
        targets[name].copy_(state[name])
        check_values(name, targets[name], source)
