"""The node's parameters: one table from which declaration, validation and the README's table come.

Default values live here and nowhere else. `check` answers for every way in (start, `ros2 param
set`, parameter files) with one sentence that names the parameter and says what it takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node

# When a parameter may be set.
START = "at start"
CONFIGURE = "before configure"
RUNNING = "any time"

FROM_HEADS = -1.0  # gamma and delta: use the value stored with the heads
OUTPUTS = ("mask", "confidence", "overlay", "class_masks", "masks")

Value = bool | int | float | str | list[str]


class ParameterError(ValueError):
    """A parameter has a value that it cannot take; the message is one sentence."""


@dataclass(frozen=True)
class Spec:
    """One parameter.

    Attributes:
        name: its ROS name.
        default: its default; also gives the type.
        description: what it does, for `ros2 param describe` and the README.
        when: START (never changes), CONFIGURE (only while unconfigured) or RUNNING.
        unit: of a number, "" for none.
        minimum, maximum: inclusive range of a number.
        choices: the texts that a text, or each entry of a list, may be; empty for any.
        special: a number outside the range that is allowed too, with a meaning of its own.
        pattern: regular expression that a text has to match as a whole, and
        pattern_help: what that means in words.
        may_be_empty: whether a list may have no entry.
    """

    name: str
    default: Value
    description: str
    when: str = RUNNING
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    special: float | None = None
    pattern: str = ""
    pattern_help: str = ""
    may_be_empty: bool = False


SPECS: tuple[Spec, ...] = (
    Spec(
        "image_topics",
        ["image"],
        "Camera topics. Outputs of a single camera live under ~/, those of several under each "
        "camera's own namespace (/front/image_raw: /front/dinoiser/mask).",
        CONFIGURE,
        pattern=r"[~/A-Za-z_][~/A-Za-z0-9_{}]*",
        pattern_help="ROS topic names",
    ),
    Spec(
        "input_type",
        "auto",
        "Message type of the camera topics: raw is sensor_msgs/Image, compressed is "
        "sensor_msgs/CompressedImage, auto looks at the topic's name and at who publishes it.",
        CONFIGURE,
        choices=("auto", "raw", "compressed"),
    ),
    Spec(
        "model",
        "vit-b-16",
        "Name of a model (vit-b-16 for real cameras, vit-b-16-openai for the method cliper, demo "
        "for the simulated world) or path of an OpenCLIP config JSON, or of a checkpoint "
        "(.safetensors) for the method maskclip+.",
        CONFIGURE,
        pattern=r".*\S.*",
        pattern_help="a name or a path",
    ),
    Spec("weights", "", "Path of the CLIP weights; empty: the model's own.", CONFIGURE),
    Spec("heads", "", "Path of the CLIP-DINOiser heads; empty: the model's own.", CONFIGURE),
    Spec(
        "dino",
        "",
        "Path of a DINO ViT with the model's patch size (timm's or the authors' file), for the "
        "method dinoiser-dino and the background source found; empty: the model's own.",
        CONFIGURE,
    ),
    Spec(
        "diffusion",
        "",
        "Folder or hub name of a Stable Diffusion, for the method cliper-diffusion; empty: 2.1 "
        "base.",
        CONFIGURE,
    ),
    Spec("offline", False, "Never use the network: weights have to be on this machine.", CONFIGURE),
    Spec(
        "device",
        "auto",
        "Where the model runs: auto, cpu, cuda or cuda:<n>.",
        CONFIGURE,
        pattern=r"auto|cpu|mps|cuda(:\d+)?",
        pattern_help="auto, cpu, cuda or cuda:<n>",
    ),
    Spec(
        "precision",
        "auto",
        "Number format of the network; auto picks what suits the device.",
        CONFIGURE,
        pattern=r"[a-z0-9]+",
        pattern_help="auto or a number format such as float32",
    ),
    Spec(
        "outputs",
        list(OUTPUTS),
        "Outputs that exist at all. Those that exist and have no subscriber cost nothing.",
        CONFIGURE,
        choices=OUTPUTS,
    ),
    Spec(
        "autostart",
        True,
        "Configure and activate by itself; false where a lifecycle manager does it.",
        START,
    ),
    Spec(
        "prompts",
        [
            "floor: wooden floor, tiled floor, concrete floor, carpet",
            "wall: white wall, brick wall",
            "person",
            "chair",
            "table",
            "door",
        ],
        "What to look for, one class for each entry; 'floor: wooden floor, carpet' is one class of "
        "several phrases. The class id is the position in the list. With maskclip+: some of the "
        "classes of its checkpoint; left as it is, all of them.",
    ),
    Spec(
        "method",
        "dinoiser",
        "Segmentation method: dinoiser, dinoiser-dino, dinoiser-keys, dinoiser-keys-predictions, "
        "maskclip, maskclip-ks, maskclip-pd, maskclip-ks-pd, cliper, cliper-diffusion or "
        "maskclip+, which has models of its own: to it and from it only before configure.",
        pattern=r"[a-z0-9_+-]+",
        pattern_help="the name of a method, such as dinoiser",
    ),
    Spec(
        "background_filter",
        "auto",
        "Whether unsure patches that do not look like an object become background. It needs a "
        "prompt 'background'; auto: on if there is one.",
        choices=("auto", "on", "off"),
    ),
    Spec(
        "background_source",
        "objectness",
        "What the background filter goes by: objectness as learnt by the heads, or FOUND on DINO's "
        "attention, which needs a DINO.",
        choices=("objectness", "found"),
    ),
    Spec(
        "background_uncertainty",
        True,
        "Whether the background filter leaves patches alone that are surer than delta.",
    ),
    Spec(
        "gamma",
        FROM_HEADS,
        "Least similarity of two patches that are pooled together; -1: the value that "
        "belongs to the heads, or the paper's 0.2 for methods that pool by something else.",
        minimum=0.0,
        maximum=1.0,
        special=FROM_HEADS,
    ),
    Spec(
        "delta",
        FROM_HEADS,
        "Confidence below which the background filter may act; -1: the value that "
        "belongs to the heads.",
        minimum=0.0,
        maximum=1.0,
        special=FROM_HEADS,
    ),
    Spec(
        "ks_threshold",
        1.0,
        "Key smoothing (maskclip-ks) changes patches that are less confident than this.",
        minimum=0.0,
        maximum=1.0,
    ),
    Spec(
        "pd_threshold",
        0.5,
        "Prompt denoising (maskclip-pd) drops classes that nowhere are as confident as this.",
        minimum=0.0,
        maximum=1.0,
    ),
    Spec(
        "attention_thr",
        0.1,
        "CLIPer drops scores below this share of their class's maximum, and cliper-diffusion "
        "attention below this share of its column's.",
        minimum=0.0,
        maximum=1.0,
    ),
    Spec(
        "confidence_threshold",
        0.0,
        "Pixels less confident than this become unlabeled (255).",
        minimum=0.0,
        maximum=1.0,
    ),
    Spec(
        "inference_size",
        0,
        "Shorter side that images are resized to for the network; masks keep the image's size. "
        "0: the model's own.",
        unit="px",
        minimum=16,
        maximum=4096,
        special=0,
    ),
    Spec(
        "max_rate",
        0.0,
        "Most frames per second that are segmented of each camera; 0: as many as the machine can.",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
    ),
    Spec(
        "run_without_subscribers",
        False,
        "Segment frames even if nobody subscribes to an output.",
    ),
    Spec(
        "overlay_alpha",
        0.5,
        "Opacity of the classes' colours in the overlay.",
        minimum=0.0,
        maximum=1.0,
    ),
    Spec("overlay_legend", True, "Draw the classes' names into the overlay."),
    Spec(
        "warn_latency",
        2.0,
        "Diagnostics warn when the 95th percentile from image stamp to published mask is longer.",
        unit="s",
        minimum=0.0,
        maximum=3600.0,
    ),
    Spec(
        "warn_drop_ratio",
        0.95,
        "Diagnostics warn when a larger share of the images is dropped for newer ones.",
        minimum=0.0,
        maximum=1.0,
    ),
    Spec(
        "stalled_after",
        5.0,
        "Diagnostics report an error when images arrive and nothing was published for so long.",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
    ),
)

BY_NAME: dict[str, Spec] = {spec.name: spec for spec in SPECS}


def check(spec: Spec, value: Any) -> None:
    """Raise `ParameterError` unless `value` is one that the parameter can take."""
    kind = type(spec.default)
    accepted = {float: (float, int), list: (list, tuple)}.get(kind, (kind,))
    if type(value) not in accepted:
        raise ParameterError(
            f"{spec.name} has to be {_type_name(spec)}, not {type(value).__name__} {_short(value)}."
        )
    if kind in (int, float):
        _check_number(spec, value)
    elif kind is str:
        _check_text(spec, value)
    elif kind is list:
        _check_list(spec, value)


def check_changes(changes: Mapping[str, Any], configured: bool) -> None:
    """Raise `ParameterError` unless all changes of one group may be made now.

    Args:
        changes: new values by parameter name; names that are not in the table are ignored.
        configured: whether the node has read the parameters of CONFIGURE already.
    """
    for name, value in changes.items():
        spec = BY_NAME.get(name)
        if spec is None:
            continue
        check(spec, value)
        if spec.when == CONFIGURE and configured:
            raise ParameterError(
                f"{name} is read at configure: run 'ros2 lifecycle set <node> cleanup' first "
                "(after 'deactivate' if the node is active), set it, then configure again."
            )


def declare(node: Node, specs: Iterable[Spec] = SPECS) -> dict[str, Any]:
    """Declare the parameters and return their values; raises `ParameterError` for a bad one."""
    from rclpy.exceptions import InvalidParameterValueException

    values = {}
    for spec in specs:
        try:
            value = node.declare_parameter(spec.name, spec.default, descriptor(spec)).value
        except InvalidParameterValueException as error:
            raise ParameterError(
                f"{spec.name} is out of range: it takes {_takes(spec)}."
            ) from error
        check(spec, value)
        values[spec.name] = _plain(value)
    return values


def descriptor(spec: Spec) -> ParameterDescriptor:
    """The ROS description of a parameter, for `ros2 param describe` and graphical tools.

    A range is only stated where it is whole: ROS knows no value beside a range. The type is left to
    `check`, which says more than "expected '3' got '2'" and takes 1 for 1.0.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    message = ParameterDescriptor(
        name=spec.name,
        description=spec.description + (f" [{spec.unit}]" if spec.unit else ""),
        additional_constraints=f"{_takes(spec)}; set {spec.when}",
        read_only=spec.when == START,
        dynamic_typing=True,
    )
    if spec.minimum is not None and spec.special is None:
        if isinstance(spec.default, float):
            bounds = FloatingPointRange(from_value=spec.minimum, to_value=spec.maximum, step=0.0)
            message.floating_point_range = [bounds]
        else:
            bounds = IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)
            message.integer_range = [bounds]
    return message


def values_of(parameters: Iterable[Any]) -> dict[str, Any]:
    """rclpy parameters as plain values by name."""
    return {parameter.name: _plain(parameter.value) for parameter in parameters}


def markdown_table(specs: Iterable[Spec] = SPECS) -> str:
    """The parameters as a Markdown table, for the README."""
    lines = ["| parameter | default | values | set | meaning |", "|---|---|---|---|---|"]
    for spec in specs:
        unit = f" {spec.unit}" if spec.unit else ""
        cells = (f"`{spec.name}`", f"{_shown(spec.default)}{unit}", _takes(spec), spec.when)
        cells = (*cells, spec.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _check_number(spec: Spec, value: float) -> None:
    if value == spec.special:
        return
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    if not low <= value <= high:  # written so that NaN fails
        raise ParameterError(f"{spec.name} cannot be {value}: it takes {_takes(spec)}.")


def _check_text(spec: Spec, value: str) -> None:
    fits = not spec.choices or value in spec.choices
    if not fits or (spec.pattern and not re.fullmatch(spec.pattern, value)):
        raise ParameterError(f"{spec.name} cannot be {_short(value)}: it takes {_takes(spec)}.")


def _check_list(spec: Spec, value: Iterable[Any]) -> None:
    entries = list(value)
    if not entries and not spec.may_be_empty:
        raise ParameterError(f"{spec.name} is empty: give at least one entry.")
    for entry in entries:
        if not isinstance(entry, str):
            raise ParameterError(f"{spec.name} has to be {_type_name(spec)}.")
        _check_text(spec, entry)


def _takes(spec: Spec) -> str:
    """What a parameter takes, in words."""
    if spec.choices:
        listed = ", ".join(spec.choices)
        return f"a list of: {listed}" if isinstance(spec.default, list) else f"one of: {listed}"
    if spec.pattern_help:
        return spec.pattern_help
    if spec.minimum is not None:
        special = "" if spec.special is None else f"{spec.special:g}, or "
        return f"{special}{spec.minimum:g} to {spec.maximum:g}"
    return _type_name(spec)


def _type_name(spec: Spec) -> str:
    names: dict[type, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number with a decimal point",
        str: "a text",
        list: "a list of texts",
    }
    return names[type(spec.default)]


def _shown(value: Value) -> str:
    """A value as it is written in a parameters file."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{entry}"' for entry in value) + "]`"
    return f"`{value}`" if value != "" else '`""`'


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
