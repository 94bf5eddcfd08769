# SPDX-License-Identifier: Apache-2.0
"""Every option of the segmentation engine, once: name, default, range, unit and description.

`Segmenter`, the node, the command line and the documents take them from here.
To add an option that may change between two frames, write in this file its row in `FrameOptions`,
its type in `OptionArguments` and its attribute in `OptionAttributes` (a test compares the three);
then use it where it has its effect, as `inputs.options.<name>` in a method. Parameters of the node,
arguments of `dinoiser segment`, checks and tables follow. Neither torch nor ROS is imported.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypedDict, TypeVar, overload

from dinoiser_ros.utils.option import CONFIGURE, RUNNING, Option

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")

METHOD_NAMES = (
    "dinoiser",
    "dinoiser-dino",
    "dinoiser-keys",
    "dinoiser-keys-predictions",
    "maskclip",
    "maskclip-ks",
    "maskclip-pd",
    "maskclip-ks-pd",
    "cliper",
    "cliper-diffusion",
    "talk2dino",
    "maskclip+",
)  # what they compute is in `segmentation.methods.registry`


def _declared(default: T, description: str, when: str, more: dict[str, Any]) -> T:
    """A field of a dataclass, with what its `Option` is made of."""
    row = {"default": default, "description": description, "when": when, **more}
    return field(default=default, metadata={"option": row})


def _model_row(default: T, description: str, **more: Any) -> T:
    """Declare an option that is read when a model is loaded; `more` as in `Option`."""
    return _declared(default, description, CONFIGURE, more)


def _frame_row(default: T, description: str, **more: Any) -> T:
    """Declare an option that may change between two frames; `more` as in `Option`."""
    return _declared(default, description, RUNNING, more)


@dataclass(frozen=True)
class ModelOptions:
    """What is loaded, and where it computes: decided before the model is loaded."""

    model: str = _model_row(
        "vit-b-16",
        "Name of a model (vit-b-16 for real cameras, vit-b-16-openai for the method cliper, "
        "talk2dino-b-14 for the method talk2dino, demo for the simulated world; `dinoiser models` "
        "lists all) or path of an OpenCLIP config or a model's own entry (.json), or of a "
        "checkpoint (.safetensors) for the method maskclip+.",
        pattern=r".*\S.*",
        values_help="a name or a path",
    )
    weights: str | None = _model_row(
        None, "Path of the CLIP weights", unset="", unset_means="the model's own"
    )
    heads: str | None = _model_row(
        None, "Path of the CLIP-DINOiser heads", unset="", unset_means="the model's own"
    )
    dino: str | None = _model_row(
        None,
        "Path of a DINO ViT with the model's patch size (timm's or the authors' file), for the "
        "method dinoiser-dino and the background source found",
        unset="",
        unset_means="the model's own",
    )
    diffusion: str | None = _model_row(
        None,
        "Folder or hub name of a Stable Diffusion, for the method cliper-diffusion",
        unset="",
        unset_means="2.1 base",
    )
    examples_file: str | None = _model_row(
        None,
        "File (.safetensors) of the examples that prompts such as @tote mean; teaching writes it",
        unset="",
        unset_means="none: what is taught is lost at the end",
    )
    offline: bool = _model_row(False, "Never use the network: weights have to be on this machine.")
    device: str = _model_row(
        "auto",
        "Where the model runs: auto, cpu, cuda or cuda:<n>.",
        pattern=r"auto|cpu|mps|cuda(:\d+)?",
        values_help="auto, cpu, cuda or cuda:<n>",
    )
    precision: str = _model_row(
        "auto",
        "Number format of the network; auto picks what suits the device. int8 needs the engine "
        "openvino and what `dinoiser quantize` made.",
        choices=("auto", "float32", "bfloat16", "float16", "int8"),
        values_help="auto or a number format such as float32",
    )
    engine: str = _model_row(
        "auto",
        "What computes the network: torch, openvino, onnxruntime or tensorrt; auto: openvino where "
        "it is installed and a short trial finds it faster, else torch. PyTorch takes the place of "
        "an engine that cannot be used, and the reason is reported.",
        choices=("auto", "torch", "openvino", "onnxruntime", "tensorrt"),
    )
    cuda_graphs: bool = _model_row(
        True,
        "On a CUDA GPU, replay frames of a kind seen before as one CUDA graph; false: launch them "
        "kernel by kernel.",
    )


@dataclass(frozen=True)
class FrameOptions:
    """What is done with a frame: each may change between two frames. `Options` checks them."""

    method: str = _frame_row(
        "dinoiser",
        f"Segmentation method: {', '.join(METHOD_NAMES[:-1])} or {METHOD_NAMES[-1]}, which has "
        "models of its own.",
        choices=METHOD_NAMES,
        values_help="the name of a method, such as dinoiser",
    )
    background_filter: str = _frame_row(
        "auto",
        "Whether unsure patches that do not look like an object become background. It needs a "
        "prompt 'background'; auto: on if there is one.",
        choices=("auto", "on", "off"),
    )
    background_source: str = _frame_row(
        "objectness",
        "What the background filter uses: objectness as learnt by the heads, or FOUND on DINO's "
        "attention, which needs a DINO.",
        choices=("objectness", "found"),
    )
    background_uncertainty: bool = _frame_row(
        True, "Whether the background filter changes only patches less confident than delta."
    )
    gamma: float | None = _frame_row(
        None,
        "Minimum similarity of two patches that are pooled together",
        minimum=0.0,
        maximum=1.0,
        unset=-1.0,
        unset_means="the value that belongs to the heads, or the paper's 0.2 for methods that pool "
        "by something else",
    )
    delta: float | None = _frame_row(
        None,
        "Confidence below which the background filter may act",
        minimum=0.0,
        maximum=1.0,
        unset=-1.0,
        unset_means="the value that belongs to the heads, or 0.55 with the method talk2dino",
    )
    ks_threshold: float = _frame_row(
        1.0,  # every patch that is not entirely sure
        "Key smoothing (maskclip-ks) changes patches that are less confident than this.",
        minimum=0.0,
        maximum=1.0,
    )
    pd_threshold: float = _frame_row(
        0.5,  # the paper's
        "Prompt denoising (maskclip-pd) drops classes whose confidence is below this everywhere.",
        minimum=0.0,
        maximum=1.0,
    )
    attention_thr: float = _frame_row(
        0.1,  # that of the released configuration for VOC
        "CLIPer drops scores below this fraction of their class's maximum, and cliper-diffusion "
        "drops attention below this fraction of its column's maximum.",
        minimum=0.0,
        maximum=1.0,
    )
    pamr: int = _frame_row(
        0,
        "Iterations of pixel-adaptive refinement (PAMR), which moves borders of classes to borders "
        "of colours; 0: none, 10: as in Talk2DINO's evaluation. It takes longer than the network.",
        minimum=0,
        maximum=50,
    )
    confidence_threshold: float = _frame_row(
        0.0,
        "Pixels less confident than this become unlabeled (255).",
        minimum=0.0,
        maximum=1.0,
    )
    inference_size: int | None = _frame_row(
        None,
        "Shorter side that images are resized to for the network; masks keep the image's size.",
        unit="px",
        minimum=16,
        maximum=4096,
        special=0,
        special_means="the image's own size",
        unset=0,
        unset_means="the model's own",
    )


def rows(declared: type[ModelOptions] | type[FrameOptions]) -> tuple[Option, ...]:
    """The options that a class declares, in their order."""
    return tuple(
        Option(name=entry.name, **entry.metadata["option"])
        for entry in dataclasses.fields(declared)
    )


MODEL_OPTIONS = rows(ModelOptions)
FRAME_OPTIONS = rows(FrameOptions)
ENGINE_OPTIONS = MODEL_OPTIONS + FRAME_OPTIONS


class OptionArguments(TypedDict, total=False):
    """The options of `FrameOptions`, but for the method, as arguments of a function."""

    background_filter: str
    background_source: str
    background_uncertainty: bool
    gamma: float | None
    delta: float | None
    ks_threshold: float
    pd_threshold: float
    attention_thr: float
    pamr: int
    confidence_threshold: float
    inference_size: int | None


class OptionChanges(OptionArguments, total=False):
    """All options of `FrameOptions` as arguments of a function."""

    method: str


class _Changeable(Protocol):
    @property
    def options(self) -> FrameOptions: ...

    def set_options(self, **changes: Unpack[OptionChanges]) -> None: ...


class OptionAttribute(Generic[T]):
    """An attribute that reads and changes one of the `options` of the object that has it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self.__doc__ = next(row.description for row in FRAME_OPTIONS if row.name == name)

    @overload
    def __get__(self, instance: None, owner: type) -> OptionAttribute[T]: ...
    @overload
    def __get__(self, instance: _Changeable, owner: type) -> T: ...
    def __get__(self, instance: _Changeable | None, owner: type) -> OptionAttribute[T] | T:
        if instance is None:
            return self
        value: T = getattr(instance.options, self._name)
        return value

    def __set__(self, instance: _Changeable, value: T) -> None:
        change: Any = {self._name: value}
        instance.set_options(**change)


class OptionAttributes:
    """The options of `FrameOptions` as attributes, for classes with `options` and `set_options`.

    Reading gives the value in use; assigning changes it from the next frame on.
    """

    method = OptionAttribute[str]()
    background_filter = OptionAttribute[str]()
    background_source = OptionAttribute[str]()
    background_uncertainty = OptionAttribute[bool]()
    gamma = OptionAttribute[float | None]()
    delta = OptionAttribute[float | None]()
    ks_threshold = OptionAttribute[float]()
    pd_threshold = OptionAttribute[float]()
    attention_thr = OptionAttribute[float]()
    pamr = OptionAttribute[int]()
    confidence_threshold = OptionAttribute[float]()
    inference_size = OptionAttribute[int | None]()
