"""Reading checkpoints: safetensors, or PyTorch files without executing anything in them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from .errors import WeightsError

State = dict[str, Tensor]

# Where a state dict lies in the authors' heads, and in what OpenCLIP's training writes.
STATE_KEYS = ("model_state_dict", "state_dict")

# Constants that some exports carry as tensors; they are rebuilt from the config.
_CONSTANTS = ("attn_mask", "input_resolution", "context_length", "vocab_size", "position_ids")


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
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return tensors, dict(file.metadata() or {})
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): check the file.") from error
    except Exception as error:  # a damaged file makes the unpickler raise almost anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"{path} cannot be read ({reason[:120]}): it is damaged or no checkpoint, fetch it "
            "again."
        ) from error
    return _plain_state(content, path, nested), {}


def _plain_state(content: object, path: Path, nested: tuple[str, ...]) -> State:
    """The state dict inside the object that a PyTorch file holds."""
    for key in nested:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(f"{path} holds no state dict: give a file of named tensors.")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def load_into(module: nn.Module, state: State, source: str) -> None:
    """Fill a module with weights that must fit it exactly.

    Raises:
        WeightsError: a tensor is missing, unknown or has another shape.
    """
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    state = {n: t for n, t in state.items() if n in wanted or not n.endswith(_CONSTANTS)}
    missing = sorted(wanted.keys() - state.keys())
    unknown = sorted(state.keys() - wanted.keys())
    differing = sorted(n for n in wanted.keys() & state.keys() if wanted[n] != state[n].shape)
    if missing or unknown or differing:
        detail = next(
            f"{what} {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            for what, names in (
                ("other shape:", differing),
                ("missing:", missing),
                ("unknown:", unknown),
            )
            if names
        )
        raise WeightsError(
            f"{source} does not fit the model's architecture ({detail}): give the weights that "
            "belong to this config."
        )
    module.load_state_dict(state)
