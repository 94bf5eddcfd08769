# SPDX-License-Identifier: Apache-2.0
"""Processor, memory and GPU, and what `auto` chooses on them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import torch

from dinoiser_ros.segmentation.device import (
    BFLOAT16_WIDTH,
    cpu_has_bfloat16,
    has_low_attention,
    resolve_device,
    resolve_precision,
)
from dinoiser_ros.segmentation.engines.runtimes.kinds import KINDS, missing_package, version_of
from dinoiser_ros.segmentation.networks.attention.choice import CHOOSER, situation_of
from dinoiser_ros.utils.available_memory import available_memory
from dinoiser_ros.utils.processor import processor_name

from .findings import NOTE, Finding

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
_WIDTHS = {"vit-b-16": 768, "demo": 192}  # channels, from which the precision follows
_HEADS = {"vit-b-16": 12, "demo": 6}
_TOKENS = (1024, 2048)  # about an image of 448x448, and of 720x1280, of vit-b-16
_LEAST_MEMORY = 3.0e9  # bytes


def processor(cpuinfo: str = "/proc/cpuinfo") -> list[Finding]:
    """The processor, its instructions that matter, its cores, the memory."""
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    flags = [flag for flag in _FLAGS if flag in text.split()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        Finding("system", f"{platform.platform()}, {platform.machine()}"),
        Finding("processor", processor_name(cpuinfo) or "unknown"),
        Finding("instructions", ", ".join(flags) or "none of those that matter"),
        Finding("cores for this process", f"{cores} of {os.cpu_count()}"),
        _memory(),
    ]


def _memory() -> Finding:
    free = available_memory()  # within a container's limit
    if free is None:
        return Finding("memory", "unknown")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    value = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB available"
    if free < _LEAST_MEMORY:
        return Finding("memory", value, NOTE, "vit-b-16 needs about 2 GB: end other programs")
    return Finding("memory", value)


def gpu() -> list[Finding]:
    """The GPUs as the driver and as PyTorch see them."""
    driver = _driver()
    findings = [Finding("driver", driver or "no nvidia-smi")]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        findings.append(Finding("GPUs for PyTorch", ", ".join(names)))
    elif driver and torch.version.cuda is None:
        advice = "install PyTorch for CUDA: docs/how-to/install.md"
        findings.append(
            Finding("GPUs for PyTorch", "none: it was built without CUDA", NOTE, advice)
        )
    elif driver:
        advice = "compare the driver with the CUDA version of PyTorch"
        findings.append(Finding("GPUs for PyTorch", "none, although there is one", NOTE, advice))
    else:
        findings.append(Finding("GPUs for PyTorch", "none"))
    return findings


def _driver() -> str:
    """The GPUs and the driver's version in one line; "" without."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi failed: {error}"
    answer = (done.stdout if done.returncode == 0 else done.stderr).strip()
    return "; ".join(answer.splitlines())[:300] or "nvidia-smi says nothing"


def choices() -> list[Finding]:
    """What `auto` chooses here for device, precision, engine and kernels of attention, and why."""
    device = resolve_device("auto")
    why = "PyTorch can use it" if device.type == "cuda" else "PyTorch can use no GPU"
    findings = [Finding("device: auto", f"{device}, since {why}")]
    for model, width in _WIDTHS.items():
        precision = str(resolve_precision("auto", device, width)).removeprefix("torch.")
        findings.append(
            Finding(f"precision: auto, {model}", f"{precision}, since {_reason(device, width)}")
        )
    kernels = attention(device) if device.type == "cpu" else []
    return [*findings, _engine(device), *kernels]


def attention(device: torch.device) -> list[Finding]:
    """Which kernel of attention is used on this CPU, and the times of all that there are."""
    findings = []
    for model, width in _WIDTHS.items():
        dtype = resolve_precision("auto", device, width)
        low = has_low_attention("auto", device, dtype)
        for tokens in _TOKENS:
            heads = _HEADS[model]
            choice = CHOOSER.choice(situation_of(heads, width // heads, tokens, dtype, low))
            times = ", ".join(f"{name} {ms:.1f} ms" for name, ms in choice.milliseconds.items())
            why = f"the fastest of: {times}" if times else "there is no other in float32"
            name = f"attention, {model}, about {tokens} tokens"
            findings.append(Finding(name, f"{choice.kernel}; {why}"))
    return findings


def _engine(device: torch.device) -> Finding:
    """What `engine: auto` can choose."""
    for name, kind in KINDS.items():
        if not kind.tried or kind.device != device.type:
            continue
        missing = missing_package(name)
        if missing is None:
            version = version_of(name)
            return Finding("engine: auto", f"{name} {version}, where a trial finds it faster")
        return Finding("engine: auto", f"torch, since {missing} is not installed")
    return Finding("engine: auto", "torch, since it is a GPU")


def _reason(device: torch.device, width: int) -> str:
    if device.type == "cuda":
        return "it is a GPU"
    if width < BFLOAT16_WIDTH:
        return "a network of so few channels gains nothing by less"
    if cpu_has_bfloat16():
        return "the processor multiplies bfloat16 itself"
    return "the processor has no instructions for bfloat16"
