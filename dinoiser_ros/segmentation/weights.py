"""Where models come from: the registry of names, local files, the cache and the network.

A source is a local path or an http(s) URL, with an optional `#sha256=<hex>` at its end. What is
fetched goes to the cache folder (`$DINOISER_CACHE`, else `$XDG_CACHE_HOME/dinoiser_ros`, else
`~/.cache/dinoiser_ros`). With `offline` (or `DINOISER_OFFLINE=1`) nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .download import FileNotOnServerError, Progress, download, verify
from .errors import WeightsError

_MODELS_FOLDER = Path(__file__).parent / "models"
_HUB = "https://huggingface.co"
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # newer, older


@dataclass(frozen=True)
class Source:
    """One file of a model: its place and what is known to check it.

    Attributes:
        location: a local path or a URL.
        sha256, blob_id: checksums, where known.
        hub_file: (repository, file name) on the Hugging Face hub: a copy that other programs have
            already put into the hub's own cache is used.
    """

    location: str
    sha256: str | None = None
    blob_id: str | None = None
    hub_file: tuple[str, str] | None = None


@dataclass(frozen=True)
class ModelSpec:
    """What a model name stands for.

    Attributes:
        name: as shown to people.
        config: path of an OpenCLIP config JSON, or the name of a config that open_clip ships; None
            for a checkpoint of maskclip+, which holds no CLIP.
        weights, heads, dino: sources to try in order; none where the caller must give them.
        inference_size: shorter side in pixels that the model works best at.
        dino_config: path of the OpenCLIP config of `dino`; None if its weights are DINO's own.
        network: a checkpoint of maskclip+; its inference size is in it.
    """

    name: str
    config: str | Path | None
    weights: tuple[Source, ...] = ()
    heads: tuple[Source, ...] = ()
    inference_size: int = 448
    dino: tuple[Source, ...] = ()
    dino_config: Path | None = None
    network: tuple[Source, ...] = ()


def _hub(repository: str, file: str) -> Source:
    endpoint = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    return Source(f"{endpoint}/{repository}/resolve/main/{file}", hub_file=(repository, file))


def _vit_b_16() -> ModelSpec:
    """The paper's model: OpenCLIP ViT-B/16 laion2b_s34b_b88k with the authors' heads."""
    repository = "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
    heads = Source(
        "https://raw.githubusercontent.com/wysoczanska/clip_dinoiser/main/checkpoints/last.pt",
        blob_id="0b6c94d9c439ebac7bcb07fe805be3654ea03c7f",
    )
    weights = tuple(_hub(repository, file) for file in _HUB_FILES)
    return ModelSpec("vit-b-16", "ViT-B-16", weights, (heads,), inference_size=448)


def _vit_b_16_openai() -> ModelSpec:
    """CLIPer's model: OpenAI's ViT-B/16, whose activation is QuickGELU; it has no heads."""
    repository = "timm/vit_base_patch16_clip_224.openai"
    weights = tuple(_hub(repository, file) for file in _HUB_FILES)
    return ModelSpec("vit-b-16-openai", "ViT-B-16-quickgelu", weights, inference_size=336)


def _demo() -> ModelSpec:
    """The embedded model: it knows the simulated world of `dinoiser_ros.sim` and nothing else."""
    weights, heads, dino = (
        Source(str(_MODELS_FOLDER / f"{name}.safetensors"))
        for name in ("demo", "demo_heads", "demo_dino")
    )
    return ModelSpec(
        "demo", _MODELS_FOLDER / "demo.json", (weights,), (heads,),
        inference_size=192, dino=(dino,), dino_config=_MODELS_FOLDER / "demo_dino.json",
    )  # fmt: skip


def _demo_maskclip_plus() -> ModelSpec:
    """What `maskclip+` made of "demo": the simulated world's 18 classes."""
    source = Source(str(_MODELS_FOLDER / "demo_maskclip_plus.safetensors"))
    return ModelSpec("demo-maskclip+", None, network=(source,))


# Functions, so that the environment is read when a model is asked for.
MODELS: dict[str, Callable[[], ModelSpec]] = {
    "vit-b-16": _vit_b_16,
    "vit-b-16-openai": _vit_b_16_openai,
    "demo": _demo,
    "demo-maskclip+": _demo_maskclip_plus,
}


def find_model(model: str | os.PathLike[str]) -> ModelSpec:
    """Resolve a registered name, or the path of an OpenCLIP config or a checkpoint of maskclip+.

    Raises:
        WeightsError: neither.
    """
    name = os.fspath(model)
    if name in MODELS:
        return MODELS[name]()
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".safetensors":
        return ModelSpec(path.stem, None, network=(Source(str(path)),))
    if path.is_file():
        return ModelSpec(path.stem, path)
    raise WeightsError(
        f"There is no model {name!r}: use {' or '.join(map(repr, MODELS))}, or the path of an "
        "OpenCLIP config (.json) or of a checkpoint of maskclip+ (.safetensors)."
    )


def cache_folder() -> Path:
    """The folder that fetched files are kept in; it need not exist."""
    if folder := os.environ.get("DINOISER_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "dinoiser_ros"


def is_offline(offline: bool = False) -> bool:
    """Whether the network must not be used: by argument, DINOISER_OFFLINE or HF_HUB_OFFLINE."""
    flags = (os.environ.get(name, "") for name in ("DINOISER_OFFLINE", "HF_HUB_OFFLINE"))
    return offline or any(flag.strip().lower() not in ("", "0", "false", "no") for flag in flags)


def parse_source(location: str | os.PathLike[str]) -> Source:
    """A path or URL as a user gives it, with an optional `#sha256=<hex>`, as a source."""
    text = os.fspath(location)
    place, mark, digest = text.partition("#sha256=")
    return Source(place, sha256=digest.strip() or None) if mark else Source(text)


def find_file(
    sources: tuple[Source, ...], offline: bool = False, progress: Progress | None = None
) -> Path:
    """Give a local file for the first source that can be had.

    Args:
        sources: tried in order: first what is on this machine, then, unless offline, the network.
        offline: never use the network.
        progress: see `download`.

    Raises:
        WeightsError: none can be had; the message is that of the last one tried.
    """
    for source in sources:
        if (path := _on_this_machine(source)) is not None:
            return path
    remote = [source for source in sources if _is_url(source.location)]
    if not remote:
        missing = sources[-1].location if sources else "A file of the model"
        raise WeightsError(f"{missing} does not exist: give the path of a file.")
    if is_offline(offline):
        raise WeightsError(
            f"{remote[0].location} is not in {cache_folder()} and the network is switched off: put "
            "the file there once with `dinoiser download`, or give its path."
        )
    for source in remote:
        try:
            target = _cached_path(source)
            return download(source.location, target, source.sha256, source.blob_id, progress)
        except FileNotOnServerError as error:
            last = error
    raise last


def _on_this_machine(source: Source) -> Path | None:
    """The local copy of a source: the path itself, our cache, or the hub's cache."""
    if not _is_url(source.location):
        path = Path(source.location).expanduser()
        if not path.is_file():
            return None
        verify(path, source.sha256, source.blob_id)
        return path
    cached = _cached_path(source)
    if cached.is_file():
        return cached
    if source.hub_file is not None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(*source.hub_file)
        return Path(found) if isinstance(found, str) else None
    return None


def _cached_path(source: Source) -> Path:
    """Where a URL is kept: a readable name, made unique by the URL and the checksum asked for."""
    key = f"{source.location} {source.sha256 or source.blob_id or ''}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return cache_folder() / f"{digest}-{Path(urlsplit(source.location).path).name}"


def _is_url(location: str) -> bool:
    return urlsplit(location).scheme in ("http", "https")
