# SPDX-License-Identifier: Apache-2.0
"""Building an OpenCLIP model from its config and putting weights into it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.methods.registry import MODEL_PARTS
from dinoiser_ros.segmentation.networks.diffusion.stable_diffusion import Diffusion, load_diffusion
from dinoiser_ros.segmentation.networks.dino import DinoTower
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads, heads_from_state
from dinoiser_ros.segmentation.networks.dinov2.text_projection import (
    TextProjection,
    projection_from_state,
)
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel, Tokenizer, patch_size
from dinoiser_ros.segmentation.networks.siglip.config import is_siglip, own_name
from dinoiser_ros.segmentation.text.identity import text_names
from dinoiser_ros.segmentation.text.stored_tower import StoredText
from dinoiser_ros.segmentation.weights.checkpoint import (
    State,
    StoredTensors,
    check_fit,
    copy_into,
    read_checkpoint,
    renamed,
)
from dinoiser_ros.segmentation.weights.download import Progress
from dinoiser_ros.segmentation.weights.sources import Source, find_file, parse_source
from dinoiser_ros.segmentation.weights.uninitialised import Uninitialised

from .building import build_clip, build_siglip, compare_sizes, read_config, read_statistics
from .dino_files import read_dino
from .maskclip_plus_checkpoint import ClosedSet, read_closed_set
from .specs import ModelSpec, Statistics
from .talk2dino_files import build_text, read_dino_tower, text_name
from .tokenizer_files import load_tokenizer

PathLike = str | os.PathLike[str]


_NO_HEADS = "The model {} has no heads of its own: give `heads`, or use method 'maskclip'."
_NO_DINO = (
    "The model {} has no DINO of its own: give `dino`, the weights of timm's "
    "vit_base_patch16_224.dino or the authors' dino_vitbase16_pretrain.pth."
)


@dataclass(frozen=True)
class LoadedModel:
    """A frozen OpenCLIP model in float32 with what belongs to it, as far as it is there.

    Attributes:
        text: the weights of `clip`'s text tower, if they are still in their file.
        statistics: of the images' channels in its training; None for the family's own.
        projection: of Talk2DINO, from `clip`'s texts to its vision tower, which is a DINOv2.
    """

    clip: ClipModel
    tokenizer: Tokenizer
    heads: DinoiserHeads | None
    dino: DinoTower | None = None
    diffusion: Diffusion | None = None
    text: StoredText | None = None
    statistics: Statistics | None = None
    projection: TextProjection | None = None


def load_model(
    spec: ModelSpec,
    weights: PathLike | None = None,
    heads: PathLike | None = None,
    *,
    dino: PathLike | None = None,
    diffusion: PathLike | None = None,
    needs: frozenset[str] = frozenset({"heads"}),
    offline: bool = False,
    progress: Progress | None = None,
) -> LoadedModel:
    """Find, check and load everything that a model consists of.

    Args:
        spec: from `find_model`.
        weights, heads, dino: paths or URLs that take the place of the registered ones.
        diffusion: see `load_diffusion`.
        needs: the parts whose absence is an error. Others than the backbone are loaded if they are
            given or at hand: the method may then be changed while running.
        offline: never use the network.
        progress: see `download`.

    Raises:
        WeightsError: one sentence that says what is wrong and what to do.
        OptionError: diffusion is wanted, and the packages that it needs are not installed.
    """
    _check_kind(spec, needs)
    if spec.is_talk2dino:
        if heads or dino:
            raise WeightsError(f"The model {spec.name} takes no heads and no DINO: leave them out.")
        return _load_talk2dino(spec, weights, offline, progress)
    assert spec.config is not None, "see `_check_kind`"
    config = read_config(spec.config)
    weight_sources = (parse_source(weights),) if weights else spec.weights
    head_sources = (parse_source(heads),) if heads else spec.heads
    dino_sources = (parse_source(dino),) if dino else spec.dino
    _require(weight_sources, f"The model {spec.name} has no weights of its own: give `weights`.")
    if "heads" in needs:
        _require(head_sources, _NO_HEADS.format(spec.name))
    if "dino" in needs:
        _require(dino_sources, _NO_DINO.format(spec.name))
    # First, since all it may lack is a package, which is better said before a long download.
    wants_diffusion = diffusion or "diffusion" in needs
    loaded_diffusion = load_diffusion(diffusion, offline) if wants_diffusion else None
    path = find_file(weight_sources, offline, progress)
    state, _ = read_checkpoint(path)
    siglip = is_siglip(config)
    state = renamed(state, own_name) if siglip else state
    compare_sizes(config, state, str(path), spec.name)
    clip: ClipModel
    tokenizer: Tokenizer
    with Uninitialised():
        if siglip:
            clip = build_siglip(config, spec.name)
        else:
            clip, tokenizer = build_clip(config, spec.name)
    if siglip:
        tokenizer = load_tokenizer(spec, path, clip, offline, progress)
    text = _fill_clip(clip, state, path)
    clip.eval().requires_grad_(False)
    head_path = _find_part(head_sources, bool(heads) or "heads" in needs, offline, progress)
    dino_path = _find_part(dino_sources, bool(dino) or "dino" in needs, offline, progress)
    return LoadedModel(
        clip,
        tokenizer,
        load_heads(head_path, clip) if head_path else None,
        load_dino(dino_path, clip, spec.dino_config) if dino_path else None,
        loaded_diffusion,
        text,
        spec.statistics or read_statistics(spec.config),
    )


def _load_talk2dino(
    spec: ModelSpec, weights: PathLike | None, offline: bool, progress: Progress | None
) -> LoadedModel:
    """A DINOv2 or DINOv3, a CLIP's text tower, and the mapping between them; see `load_model`."""
    config = read_config(spec.text_config or "")
    vision = (parse_source(weights),) if weights else spec.weights
    tower = read_dino_tower(find_file(vision, offline, progress))
    path = find_file(spec.text, offline, progress)
    state = renamed(read_checkpoint(path)[0], text_name)
    clip, tokenizer = build_text(config, state, path, spec.name)
    text = _fill_clip(clip, state, path)
    clip.visual = tower
    dim, width = config["embed_dim"], tower.conv1.out_channels
    place = find_file(spec.projection, offline, progress)
    mapping = projection_from_state(read_checkpoint(place)[0], dim, width, str(place))
    clip.eval().requires_grad_(False)
    return LoadedModel(clip, tokenizer, None, text=text, projection=mapping)


def _fill_clip(clip: ClipModel, state: State, path: Path) -> StoredText | None:
    """Fill the vision tower, and leave the rest in its file for when it is needed, if it can be.

    Raises:
        WeightsError: the file cannot be read, or does not fit; as a whole.
    """
    check_fit(clip, state, str(path))
    if not isinstance(state, StoredTensors):  # PyTorch files are read as a whole
        copy_into(clip, state, clip.state_dict(), str(path))
        return None
    texts = set(text_names(state))
    visual = [name for name in clip.state_dict() if name not in texts]
    copy_into(clip, state, visual, str(path))
    return StoredText(clip, state)


def load_closed_set(
    spec: ModelSpec, offline: bool = False, progress: Progress | None = None
) -> ClosedSet:
    """Find and read the checkpoint of maskclip+ that a model is.

    Raises:
        WeightsError: the model is none, or see `read_closed_set`.
    """
    return read_closed_set(find_file(spec.network, offline, progress))


def _check_kind(spec: ModelSpec, needs: frozenset[str]) -> None:
    """Refuse a checkpoint of maskclip+ where a CLIP is wanted, and the reverse.

    Raises:
        WeightsError: the model is of the other kind.
    """
    if "network" in needs:
        raise WeightsError(
            f"The method 'maskclip+' {MODEL_PARTS['network']}, which {spec.name} is not: give the "
            "path of one as `model`."
        )
    if "talk2dino" in needs and not spec.is_talk2dino:
        raise WeightsError(
            f"The method 'talk2dino' {MODEL_PARTS['talk2dino']}, which {spec.name} is not: use "
            "another `model` or `method`."
        )
    if "clip" in needs and spec.is_talk2dino:
        raise WeightsError(
            f"{spec.name} is a model of Talk2DINO and no CLIP: use the method 'talk2dino', or "
            "another `model`."
        )
    if spec.config is None and not spec.is_talk2dino:
        raise WeightsError(
            f"{spec.name} is a checkpoint of maskclip+ without a CLIP: use the method 'maskclip+', "
            "or another model."
        )


def _require(sources: tuple[Source, ...], message: str) -> None:
    if not sources:
        raise WeightsError(message)


def _find_part(
    sources: tuple[Source, ...], wanted: bool, offline: bool, progress: Progress | None
) -> Path | None:
    """The file of a part. One that is not wanted is not worth a download: None if not at hand."""
    if wanted:
        return find_file(sources, offline, progress)
    try:
        return find_file(sources, offline=True)
    except WeightsError:
        return None


def load_heads(path: Path, clip: ClipModel) -> DinoiserHeads:
    """Read heads and check that they fit the backbone.

    Raises:
        WeightsError: unreadable, or trained for features of another width.
    """
    state, metadata = read_checkpoint(path)
    heads = heads_from_state(state, metadata, str(path))
    width = clip.visual.conv1.out_channels
    if heads.width != width:
        raise WeightsError(
            f"{path} was trained on features of width {heads.width}, this backbone has {width}: "
            "give the heads that belong to it."
        )
    return heads


def load_dino(path: Path, clip: ClipModel, config: Path | None = None) -> DinoTower:
    """Read a DINO that fits a backbone.

    Args:
        path, config: see `read_dino`.
        clip: the model that it is used beside.

    Raises:
        WeightsError: unreadable, another architecture, or other patches than the backbone's.
    """
    tower = read_dino(path, config)
    patch = patch_size(clip.visual)
    if tower.patch_size != patch:
        raise WeightsError(
            f"{path} divides images into patches of {tower.patch_size} pixels, this backbone into "
            f"patches of {patch}: give a DINO with the backbone's."
        )
    return tower
