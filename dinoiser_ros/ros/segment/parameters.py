# SPDX-License-Identifier: Apache-2.0
"""The parameters of the node `dinoiser`: one table, from which the README's is made, too.

Default values live here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.ros.parameter_spec import CONFIGURE, START, Spec, check

FROM_HEADS = -1.0  # gamma and delta: use the value stored with the heads
OUTPUTS = ("mask", "confidence", "overlay", "class_masks", "masks")

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
        "cuda_graphs",
        True,
        "Give frames of a kind that came before to a CUDA GPU as one piece of work; false: kernel "
        "by kernel.",
        CONFIGURE,
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
