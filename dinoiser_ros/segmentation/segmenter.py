# SPDX-License-Identifier: Apache-2.0
"""Segmenter: the entry point for code outside this package."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dinoiser_ros.errors import OptionError, PromptError
from dinoiser_ros.option_schema import (
    MODEL_OPTIONS,
    FrameOptions,
    ModelOptions,
    OptionArguments,
    OptionAttributes,
    OptionChanges,
)
from dinoiser_ros.segmentation.engines.backbones import EngineBackbone
from dinoiser_ros.segmentation.engines.selection import EngineWish
from dinoiser_ros.segmentation.examples.example_set import Example
from dinoiser_ros.segmentation.examples.regions import Region
from dinoiser_ros.segmentation.inference.cost import FrameKind, check_memory
from dinoiser_ros.segmentation.inference.cuda_graph_cache import Replays
from dinoiser_ros.segmentation.inference.cuda_graph_capture import capture_cuda_graph
from dinoiser_ros.segmentation.inference.example_features import (
    check_teachable,
    examples_of,
    patch_features,
)
from dinoiser_ros.segmentation.inference.familiarity import FamiliarityWatch, watch_features
from dinoiser_ros.segmentation.inference.forward import (
    check_finite,
    classify_batch,
    label_batch,
    not_finite,
)
from dinoiser_ros.segmentation.inference.probability_grid import grid_shape, probability_grid
from dinoiser_ros.segmentation.inference.taught_examples import TaughtExamples
from dinoiser_ros.segmentation.methods.inputs import Parts
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.models.assembly import Assembly, assemble, assemble_closed
from dinoiser_ros.segmentation.models.loading import LoadedModel, load_closed_set, load_model
from dinoiser_ros.segmentation.models.registry import ModelSpec, find_model
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dino import DinoTower
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.segmentation.pixels.preprocess import (
    check_image,
    inference_shape,
    stack_images,
    to_batch,
    window_length,
    window_shape,
)
from dinoiser_ros.segmentation.pixels.transfer import pack_results, result_arrays, unpack_results
from dinoiser_ros.segmentation.text.cache import open_text_cache
from dinoiser_ros.segmentation.text.trained_phrases import TrainedText
from dinoiser_ros.segmentation.text.vocabulary import (
    SegmentationClass,
    Vocabulary,
    names_examples,
)
from dinoiser_ros.segmentation.weights.download import Progress
from dinoiser_ros.utils.option import by_name

from .device import check_precision, resolve_device
from .options import Options, check_parts, missing_parts
from .result import Segmentation

if TYPE_CHECKING:
    from typing_extensions import Unpack

PathLike = str | os.PathLike[str]
_ENGINE = by_name(MODEL_OPTIONS)["engine"]


class Segmenter(OptionAttributes):
    """Open-vocabulary segmentation of images with a frozen CLIP, or what "maskclip+" made of it.

    Loading takes seconds; afterwards prompts and options may be changed at any time and from any
    thread: a frame in progress is finished with the settings it started with.

    Args:
        model: a registered name ("vit-b-16", "demo") or the path of an OpenCLIP config JSON; for
            "maskclip+" that of a checkpoint (.safetensors), which needs none of the other files.
        weights: path or URL of the model's weights (safetensors or PyTorch); None for those of a
            registered model.
        heads: path or URL of CLIP-DINOiser's heads (safetensors or the authors' .pt); likewise.
        method: a name in `METHODS`, such as "dinoiser", "maskclip-ks" or "cliper".
        device: "auto" (a CUDA GPU if there is one), "cpu", "cuda", "cuda:1", ...
        precision: "auto" (see `resolve_precision`), "float32", "bfloat16", "float16"; "int8" with
            an engine.
        engine: "auto", "torch", "openvino", "onnxruntime" or "tensorrt": what computes the
            network, see `segmentation.engines`.
        offline: never use the network.
        cuda_graphs: whether frames of a kind seen before are replayed as one CUDA graph, see
            `cuda_graph_cache`; without a CUDA GPU it has no effect.
        progress: called while weights are fetched, with the bytes so far and in all.
        dino: path or URL of a DINO ViT with the backbone's patch size (timm's or the authors'
            file), for "dinoiser-dino" and FOUND; None for that of a registered model.
        diffusion: folder or hub name of a Stable Diffusion, for "cliper-diffusion"; None for 2.1
            base.
        examples_file: file of the examples that prompts such as "@tote" mean, see `teach`; it need
            not exist. None: they are kept in memory only.
        options: any other option of `FrameOptions`, such as gamma=0.3 or inference_size=448; their
            meanings, values and defaults are given there. All are attributes, too.

    Raises:
        WeightsError: the model cannot be had, read or does not fit together.
        OptionError: an option has a value it cannot take.
    """

    def __init__(
        self,
        model: PathLike = ModelOptions.model,
        weights: PathLike | None = ModelOptions.weights,
        heads: PathLike | None = ModelOptions.heads,
        method: str = FrameOptions.method,
        device: str = ModelOptions.device,
        precision: str = ModelOptions.precision,
        *,
        offline: bool = ModelOptions.offline,
        engine: str = ModelOptions.engine,
        cuda_graphs: bool = ModelOptions.cuda_graphs,
        progress: Progress | None = None,
        dino: PathLike | None = ModelOptions.dino,
        diffusion: PathLike | None = ModelOptions.diffusion,
        examples_file: PathLike | None = ModelOptions.examples_file,
        **options: Unpack[OptionArguments],
    ) -> None:
        self._options = Options(method, **options)
        spec = find_model(model)
        target = resolve_device(device)
        check_precision(precision)
        _ENGINE.check(engine)
        wish = EngineWish(engine, precision, METHODS[method].request, spec.inference_size)
        if spec.network and "network" in self._options.needs:
            closed = load_closed_set(spec, offline, progress)
            assembly = assemble_closed(closed, spec, target, precision, wish)
            self._begin(assembly, cuda_graphs, examples_file)
            self._watch_features(spec)
            return
        loaded = load_model(
            spec, weights, heads, dino=dino, diffusion=diffusion,
            needs=self._options.needs, offline=offline, progress=progress,
        )  # fmt: skip
        assembly = assemble(loaded, spec, target, precision, open_text_cache(), engine=wish)
        self._begin(assembly, cuda_graphs, examples_file)
        if not weights:
            self._watch_features(spec)

    @classmethod
    def from_model(
        cls,
        loaded: LoadedModel,
        spec: ModelSpec,
        *,
        device: str = "cpu",
        precision: str = "float32",
        cuda_graphs: bool = ModelOptions.cuda_graphs,
        plain: bool = False,
        engine: EngineWish | None = None,
        **options: Unpack[OptionChanges],
    ) -> Segmenter:
        """A segmenter around a model that is in memory already (training, benchmarks).

        Its text embeddings are not kept on disk: tomorrow the model is another.

        Args:
            loaded: the model; it is moved to the device and frozen.
            spec: its name and inference size.
            device: as for a new segmenter.
            precision: likewise.
            cuda_graphs: likewise.
            plain: see `Backbone`.
            engine: what may compute the backbone; None: PyTorch.
            options: those of `FrameOptions` by name.
        """
        segmenter = cls.__new__(cls)
        segmenter._options = Options(**options)
        target = resolve_device(device)
        assembly = assemble(loaded, spec, target, precision, plain=plain, engine=engine)
        segmenter._begin(assembly, cuda_graphs)
        check_parts(segmenter.options, assembly.parts)
        return segmenter

    def _begin(
        self, assembly: Assembly, cuda_graphs: bool, examples_file: PathLike | None = None
    ) -> None:
        self.model_name = assembly.name
        self.default_inference_size = assembly.inference_size
        self._parts = assembly.parts
        self._engine_problem = assembly.engine_problem
        self._text = assembly.text
        self.examples = TaughtExamples(assembly, examples_file)
        self._vocabulary: Vocabulary | None = self.trained
        self._watch: FamiliarityWatch | None = None
        self._replays: Replays | None = None  # on a CPU, what a frame gives is on the host already
        if self.device.type != "cpu":
            graphs = cuda_graphs and self.device.type == "cuda"
            self._replays = Replays(self.device, capture_cuda_graph if graphs else None)

    def _watch_features(self, spec: ModelSpec) -> None:
        if spec.familiarity is not None:
            self._watch = watch_features(self._parts, spec.familiarity)

    # -- prompts ---------------------------------------------------------------------------------

    def check_prompts(self, prompts: Sequence[str], options: Options | None = None) -> None:
        """Raise PromptError for prompts that cannot be; takes no time and changes nothing.

        Args:
            prompts: see `set_prompts`.
            options: those that they are to be used with; None for those in use.

        Raises:
            PromptError: the prompts cannot be used.
            OptionError: they name examples, which the options' method cannot have.
        """
        self._text.check(prompts)
        if names_examples(prompts):
            check_teachable(options or self._options)

    def embed_prompts(self, prompts: Sequence[str]) -> Vocabulary:
        """The slow half of `set_prompts`: parse and embed, change nothing.

        Raises:
            PromptError: the prompts cannot be used.
        """
        return self._text.vocabulary(prompts)

    @property
    def text_cache_problem(self) -> str | None:
        """Why text embeddings could not be kept on disk, in one sentence; None if they were."""
        return self._text.cache_problem

    @property
    def cuda_graphs_problem(self) -> str | None:
        """Why frames are not computed as CUDA graphs, in one sentence, if that was tried."""
        return None if self._replays is None else self._replays.problem

    @property
    def engine(self) -> str:
        """What computes the network, as in the option `engine`; never "auto"."""
        backbone = self._parts.backbone
        return backbone.engine if isinstance(backbone, EngineBackbone) else "torch"

    @property
    def engine_problem(self) -> str | None:
        """Why the engine that was asked for does not compute, in one sentence; None if it does."""
        backbone = self._parts.backbone
        return backbone.problem if isinstance(backbone, EngineBackbone) else self._engine_problem

    @property
    def world(self) -> str:
        """What an image is to show to be `Segmentation.familiar`, with advice: a clause."""
        return (
            f"the simulated world, and the model '{self.model_name}' knows nothing else, so that "
            f"its labels mean nothing: use the model '{ModelOptions.model}'"
        )

    def use(self, vocabulary: Vocabulary) -> None:
        """The fast half of `set_prompts`: segment with this vocabulary from the next frame on."""
        self._vocabulary = vocabulary

    def set_prompts(self, prompts: Sequence[str]) -> tuple[SegmentationClass, ...]:
        """Choose what to segment.

        Args:
            prompts: phrases, or "name: phrase, phrase" for a class of several; ids follow the
                order.
                A single prompt gets "background" in front of it. With "maskclip+": phrases among
                the trained ones (see `TrainedText`), or none for all trained classes, which are
                set from the start.

        Returns:
            The classes with their ids.

        Raises:
            PromptError: the prompts cannot be used; those set before stay.
            OptionError: they name examples, which the method in use cannot have.
        """
        vocabulary = self.embed_prompts(prompts)
        if vocabulary.taught:
            check_teachable(self._options)
        self.use(vocabulary)
        return vocabulary.classes

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary in use.

        Raises:
            PromptError: none has been set.
        """
        if self._vocabulary is None:
            raise PromptError("No prompts are set: call set_prompts(['floor', 'person']) first.")
        return self._vocabulary

    @property
    def classes(self) -> tuple[SegmentationClass, ...]:
        """The classes in use, in the order of their ids."""
        return self.vocabulary.classes

    # -- examples --------------------------------------------------------------------------------

    @torch.inference_mode()
    def examples_of(self, image: np.ndarray, region: Region) -> list[Example]:
        """The slow half of `teach`: what is kept of a region; changes nothing.

        Raises:
            ExampleError, ImageError, OptionError, NotFiniteError: see `teach`.
        """
        options = self._options
        size = check_image(image).shape[:2]
        shape = inference_shape(size, self.shorter_side(options))
        check_memory(FrameKind(size, shape, 1, 1), self._parts)
        pixels = stack_images([image]).to(self.device)
        features, extent = patch_features(pixels, shape, self._parts, options)
        return examples_of(features, extent, size, region)

    def teach(self, name: str, image: np.ndarray, region: Region) -> int:
        """Give a class an example: from then on a prompt can name it, as in "tote: @tote".

        Prompts in use that name it take it in from the next frame on. Features are kept, in
        `examples_file` if there is one, and nothing of the picture.

        Args:
            name: of the class; more examples of a name make it better.
            image: (H, W, 3) uint8 RGB.
            region: what shows the class: a mask (H, W) bool or uint8; or a box (left, top, right,
                bottom) in pixels; or points [(x, y), ...] in pixels, each an example by itself.

        Returns:
            How many examples the name has then.

        Raises:
            ExampleError: the name or the region cannot be, or the file cannot be written.
            ImageError: another type or shape.
            OptionError: the method in use cannot have classes given by examples.
            NotFiniteError: the networks computed NaN or infinity.
        """
        count = self.examples.add(name, self.examples_of(image, region))
        self._renew()
        return count

    def forget(self, name: str, newest: int | None = None) -> int:
        """Remove examples of a class.

        Args:
            name: as it was taught.
            newest: only so many, those taught last; None: all.

        Returns:
            How many are left.

        Raises:
            ExampleError: nothing was taught under this name, or the prompts in use need it.
        """
        used = self._vocabulary.taught if self._vocabulary is not None else ()
        count = self.examples.remove(name, newest, used)
        self._renew()
        return count

    def _renew(self) -> None:
        """Take changed examples into the prompts in use."""
        if self._vocabulary is not None and self._vocabulary.taught:
            self.set_prompts(self._vocabulary.prompts)

    # -- segmentation ----------------------------------------------------------------------------

    @torch.inference_mode()
    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Class probabilities on the patch grid, the image at its own size.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (K, h, w) float32 in [0, 1], h = ceil(H / P), w = ceil(W / P) for patches of P pixels;
            with "cliper-diffusion" a square grid over the image, with "maskclip+" its network's;
            with `pamr` the image's pixels.

        Raises:
            ImageError: another type or shape.
            PromptError: no prompts are set.
            NotFiniteError: the networks computed NaN or infinity.
        """
        vocabulary = self.vocabulary
        batch = to_batch([check_image(image)], image.shape[:2], self.device)
        found = classify_batch(batch, self._parts, vocabulary, self._options)[0].cpu().numpy()
        if not np.isfinite(found).all():
            raise not_finite(self.precision)
        return found

    @torch.inference_mode()
    def probability_grid(self, image: np.ndarray, longer_side: int = 64) -> np.ndarray:
        """All classes' probabilities over an image, as `segment` sees it, on a coarse grid.

        Args:
            image: (H, W, 3) uint8 RGB.
            longer_side: most cells along the image's longer side; fewer with very many classes.

        Returns:
            (K, h, w) float32 in [0, 1]: the values at the centres of h x w cells that divide the
            image evenly; no threshold is applied. They sum to 1, and to more where the background
            filter gave a patch to the background, whose probability is 1 there.

        Raises:
            ImageError, PromptError, NotFiniteError: as in `segment`.
        """
        vocabulary, options = self.vocabulary, self._options
        size = check_image(image).shape[:2]
        shape = inference_shape(size, self.shorter_side(options))
        check_memory(
            FrameKind(size, shape, len(vocabulary.embeddings), 1, options.pamr), self._parts
        )
        pixels = stack_images([image]).to(self.device)
        grid = grid_shape(size, longer_side, len(vocabulary.classes))
        found = probability_grid(pixels, shape, grid, self._parts, vocabulary, options)
        values = found.cpu().numpy()
        if not np.isfinite(values).all():
            raise not_finite(self.precision)
        return values

    def segment(self, image: np.ndarray) -> Segmentation:
        """Label every pixel of an image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The segmentation, of the image's own size whatever `inference_size` is: that is what
            the network sees, by default the model's own, as on the command line and in the node.

        Raises:
            ImageError: another type or shape.
            PromptError: no prompts are set.
            NotFiniteError: the networks computed NaN or infinity.
        """
        return self.segment_batch([image])[0]

    def segment_batch(
        self, images: Sequence[np.ndarray], whole: tuple[int, int] | None = None
    ) -> list[Segmentation]:
        """Label every pixel of several images; those of one size go through the network together.

        Args:
            images: (H, W, 3) uint8 RGB each.
            whole: height and width of the images that these are windows of: the network gets them
                at the scale that it would get those at. None: they are whole.

        Raises:
            ImageError, PromptError, NotFiniteError: as in `segment`; then none is segmented.
        """
        vocabulary, options = self.vocabulary, self._options
        groups: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            groups.setdefault(check_image(image).shape[:2], []).append(index)
        results: dict[int, Segmentation] = {}
        for size, members in groups.items():
            group = [images[index] for index in members]
            segmented = self._segment_group(group, size, whole or size, vocabulary, options)
            results.update(zip(members, segmented, strict=True))
        return [results[index] for index in range(len(images))]

    @torch.inference_mode()
    def _segment_group(
        self,
        images: list[np.ndarray],
        size: tuple[int, int],
        whole: tuple[int, int],
        vocabulary: Vocabulary,
        options: Options,
    ) -> list[Segmentation]:
        """Images of one size (H, W), as one batch; each is a window of an image of size `whole`."""
        shape = window_shape(size, whole, self.shorter_side(options), self._patch)
        phrases = len(vocabulary.embeddings)
        check_memory(FrameKind(size, shape, phrases, len(images), options.pamr), self._parts)
        wide = vocabulary.unlabeled > np.iinfo(np.uint8).max
        pixels = stack_images(images)

        def compute(given: Tensor) -> tuple[Tensor, Tensor]:
            return label_batch(given, shape, self._parts, vocabulary, options)

        if self._replays is None:
            labels, confidence = result_arrays(*compute(pixels), wide)
        else:
            packed = self._replays(
                lambda given: pack_results(*compute(given), wide),
                pixels,
                shape,
                (vocabulary, options),
            )
            labels, confidence = unpack_results(packed.numpy())
        check_finite(labels, vocabulary, self.precision)
        familiar = self._familiar(len(images), options) if size == whole else [True] * len(images)
        return [
            Segmentation(ids, shares, vocabulary.classes, vocabulary.unlabeled, known, self.engine)
            for ids, shares, known in zip(labels, confidence, familiar, strict=True)
        ]

    def _familiar(self, count: int, options: Options) -> list[bool]:
        """Whether each of the images just segmented is of the world that the model knows."""
        # The test was made at the model's own size: at others features are others.
        if self._watch is None or self.shorter_side(options) != self.default_inference_size:
            return [True] * count
        return self._watch.familiar(count)

    def window_length(self, size: tuple[int, int], share: float) -> int:
        """Length of a window, along the longer side of an image, that is whole patches.

        Args:
            size: height and width of the image.
            share: of the longer side that is wanted, in (0, 1].

        Returns:
            Pixels of the image; for `segment_batch` with `whole=size`.
        """
        return window_length(size, share, self.shorter_side(self._options), self._patch)

    @property
    def _patch(self) -> int:
        """Pixels of a patch's side at inference; 1 if the network has none."""
        backbone = self._parts.backbone
        return 1 if backbone is None else backbone.patch_size

    def shorter_side(self, options: Options) -> int | None:
        """What images are resized to for the network; None for their own size."""
        if options.inference_size is None:
            return self.default_inference_size
        return options.inference_size or None

    # -- options: each may be set while frames are being segmented --------------------------------

    @property
    def options(self) -> Options:
        """The options in use."""
        return self._options

    def set_options(self, **changes: Unpack[OptionChanges]) -> None:
        """Change options together: from the next frame on all of them hold.

        Args:
            changes: new values by their names in `FrameOptions`.

        Raises:
            OptionError: one of them cannot be; then none is changed.
        """
        try:
            options = dataclasses.replace(self._options, **changes)
        except TypeError as error:
            raise OptionError(f"There is no such option ({error}): see Options.") from None
        check_parts(options, self._parts)
        if self._vocabulary is not None and self._vocabulary.taught:
            check_teachable(options)
        self._options = options

    def missing_parts(self, options: Options) -> tuple[str, ...]:
        """The names of the parts that these options need and this segmenter was loaded without."""
        return missing_parts(options, self._parts)

    @property
    def parts(self) -> Parts:
        """The networks."""
        return self._parts

    @property
    def backbone(self) -> Backbone | None:
        """The dense feature extractor; None with "maskclip+"."""
        return self._parts.backbone

    @property
    def network(self) -> EmbeddingNetwork | None:
        """The network of "maskclip+", if that is the method."""
        return self._parts.network

    @property
    def trained(self) -> Vocabulary | None:
        """The classes that the network of "maskclip+" knows; None if any text can be a prompt."""
        return self._text.trained if isinstance(self._text, TrainedText) else None

    @property
    def heads(self) -> DinoiserHeads | None:
        """CLIP-DINOiser's heads, if they were loaded."""
        return self._parts.heads

    @property
    def dino(self) -> DinoTower | None:
        """The DINO beside the backbone, if it was loaded."""
        return self._parts.dino

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._parts.main.device

    @property
    def precision(self) -> str:
        """The network's floating-point type, for example "float32"."""
        if isinstance(self._parts.backbone, EngineBackbone):
            return self._parts.backbone.precision
        return str(self._parts.main.dtype).removeprefix("torch.")
