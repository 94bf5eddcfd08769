# SPDX-License-Identifier: Apache-2.0
"""The options of a segmenter that may change between two frames."""

from __future__ import annotations

from dataclasses import dataclass

from dinoiser_ros.errors import OptionError
from dinoiser_ros.option_schema import FRAME_OPTIONS, FrameOptions
from dinoiser_ros.segmentation.methods.inputs import MethodOptions, Parts
from dinoiser_ros.segmentation.methods.registry import BACKGROUND_SOURCES, METHODS, MODEL_PARTS
from dinoiser_ros.segmentation.networks.dinoiser_heads import DELTA, GAMMA, DinoiserHeads


@dataclass(frozen=True)
class Options(FrameOptions):
    """What a segmenter does with a frame; immutable, so that a frame sees one consistent set.

    What each option means, takes and is by default stands in `option_schema.FrameOptions`.

    Raises:
        OptionError: a value is not allowed.
    """

    @property
    def needs(self) -> frozenset[str]:
        """The parts that they cannot do without: "clip", "heads", "dino", ...; see `Parts`."""
        entry = METHODS[self.method]
        needs = entry.needs | ({entry.backbone} if entry.request else frozenset())
        if (
            not entry.filters_background
            or entry.delta is not None
            or self.background_filter == "off"
        ):
            return needs
        return needs | {BACKGROUND_SOURCES[self.background_source]}

    def __post_init__(self) -> None:
        for option in FRAME_OPTIONS:
            option.check(getattr(self, option.name))


def missing_parts(options: Options, parts: Parts) -> tuple[str, ...]:
    """The names of the parts that these options need and that are not there."""
    return tuple(name for name in sorted(options.needs) if getattr(parts, name) is None)


def check_parts(options: Options, parts: Parts) -> None:
    """Refuse options that need a part that was not loaded.

    Raises:
        OptionError: it says which part, and what to do.
    """
    for name in missing_parts(options, parts):
        if name in MODEL_PARTS:
            raise OptionError(
                f"The method {options.method!r} {MODEL_PARTS[name]}: load another `model`."
            )
        raise OptionError(
            f"The method {options.method!r} needs {name} with these options, which this model "
            f"was loaded without: give `{name}`."
        )


def method_options(options: Options, heads: DinoiserHeads | None) -> MethodOptions:
    """Every value as it is to be used: as given, else as stored with the heads, else the paper's.

    The heads' gamma was chosen for their own correlations and says nothing about others.
    """
    pooled_by_heads = "heads" in METHODS[options.method].needs
    gamma = heads.gamma if heads is not None and pooled_by_heads else GAMMA
    own = METHODS[options.method].delta
    delta = own if own is not None else DELTA if heads is None else heads.delta
    given = {option.name: getattr(options, option.name) for option in FRAME_OPTIONS}
    given["gamma"] = gamma if options.gamma is None else options.gamma
    given["delta"] = delta if options.delta is None else options.delta
    return MethodOptions(**given)
