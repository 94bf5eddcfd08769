# SPDX-License-Identifier: Apache-2.0
"""What the soak asks of the node while it works: services, parameters, lifecycle; good and bad.

Two sorts of calls. *Quick* ones answer from what the node knows or hand something over: reading
prompts and parameters, setting parameters, refusing bad prompts or parameters, lifecycle queries
and transitions. They have to answer within 100 ms while inference runs; the worst of them is
`worst_service_ms`. *Slow* ones cannot answer before the network has worked: `~/segment` segments
an image, and `~/set_prompts` embeds texts (80 templates for each new phrase) and waits for the
frame in work, so that its answer means that the next mask has the new classes. They must not
delay anything else, which the quick ones show; their own times are reported separately.
"""

from __future__ import annotations

import itertools
import math
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParametersAtomically,
)
from rclpy.parameter import Parameter, parameter_value_to_python
from sensor_msgs.msg import Image

from dinoiser_ros.srv import GetPrompts, Segment, SetPrompts

NODE = "/dinoiser"
MANY_PROMPTS = [f"part {number}" for number in range(400)]  # their masks have 16 bits
PROMPTS = ["floor: wooden floor, carpet", "wall", "person", "chair"]  # after others
_EMBEDDING_TIMEOUT = 300.0  # seconds: 32,000 texts on a busy CPU
_numbers = itertools.count()  # for phrases that are new to the node
Ask = Callable[..., Any]  # (type, service name, quick, **request) -> response


@dataclass(frozen=True)
class Call:
    """Something to ask for.

    Attributes:
        weight: how often it comes, relative to the others.
        function: does it; gets `Ask` and a variant, and raises `WrongAnswer`.
        variants: what it is done with, each once at first and then one at random.
    """

    weight: float
    function: Callable[[Ask, Any], None]
    variants: Sequence[Any] = (None,)

    @property
    def name(self) -> str:
        """For reports."""
        return self.function.__name__


class WrongAnswer(Exception):
    """The node answered, but not as it has to; the message is one sentence."""


def check(holds: bool, sentence: str) -> None:
    """Raise `WrongAnswer` unless something holds."""
    if not holds:
        raise WrongAnswer(sentence)


GOOD_PROMPTS = (
    PROMPTS,
    ["background", "person", "box"],
    ["木の床", "стул", "βιβλίο", "كرسي"],
    ["🦊", "🪑 chair", "red cone"],
    ["person"],
    [f"object {number}" for number in range(40)],
)
BAD_PROMPTS = {
    "none": [],
    "empty": ["floor", ""],
    "spaces": ["floor", "   "],
    "duplicate": ["floor", "Floor"],
    "10,000 characters": ["x" * 10_000],
    "too long for the model": ["🦊" * 150],
    "control characters": ["floor", "wa\x07ll\x1b[2J"],
    "empty phrase": ["floor: carpet,,tiles"],
}
GOOD_PARAMETERS: tuple[dict[str, Any], ...] = (
    {"confidence_threshold": 0.3},
    {"confidence_threshold": 0.0},
    {"gamma": 0.1, "delta": 0.9},
    {"gamma": -1.0, "delta": -1.0},
    {"method": "maskclip"},
    {"method": "dinoiser"},
    {"background_filter": "off"},
    {"background_filter": "auto"},
    {"overlay_alpha": 0.7, "overlay_legend": False},
    {"max_rate": 200.0},
    {"max_rate": 0.0},
    {"inference_size": 48},
    {"inference_size": 64},
)
BAD_PARAMETERS: tuple[dict[str, Any], ...] = (
    {"confidence_threshold": math.nan},
    {"confidence_threshold": 1.5},
    {"gamma": math.inf},
    {"delta": -0.5},
    {"inference_size": 3},
    {"inference_size": 10**12},
    {"max_rate": -1.0},
    {"max_rate": "fast"},
    {"method": "magic"},
    {"method": 7},
    {"prompts": ["floor", "floor"]},
    {"prompts": 1.0},
    {"overlay_alpha": 0.2, "confidence_threshold": 2.0},  # nothing of a group with a bad value
    {"model": "another"},  # read at configure
    {"autostart": False},
)


def get_prompts(ask: Ask, quick: bool = True) -> list[str]:
    """The prompts in use, after a look at the ids."""
    answer = ask(GetPrompts, "get_prompts", quick)
    check(len(set(answer.class_ids)) == len(answer.class_names), "ids of get_prompts")
    return list(answer.prompts)


def get_parameters(ask: Ask, names: list[str]) -> list[Any]:
    """Values of parameters."""
    answer = ask(GetParameters, "get_parameters", True, names=names)
    return [parameter_value_to_python(value) for value in answer.values]


def set_parameters(ask: Ask, values: dict[str, Any]) -> Any:
    """Set a group of parameters; the result has `successful` and `reason`."""
    group = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    name = "set_parameters_atomically"
    return ask(SetParametersAtomically, name, True, parameters=group).result


def read_state(ask: Ask, _: None) -> None:
    """Lifecycle queries."""
    check(ask(GetState, "get_state", True).current_state.label == "active", "it is not active")
    answer = ask(GetAvailableTransitions, "get_available_transitions", True)
    check(bool(answer.available_transitions), "there is no transition")


def read_parameters(ask: Ask, _: None) -> None:
    """Parameters: list, describe, get."""
    names = list(ask(ListParameters, "list_parameters", True).result.names)
    check("prompts" in names, "list_parameters lacks 'prompts'")
    described = ask(DescribeParameters, "describe_parameters", True, names=names)
    check(len(described.descriptors) == len(names), "describe_parameters lacks some")
    get_parameters(ask, names)


def read_prompts(ask: Ask, _: None) -> None:
    """Prompts and classes."""
    check(bool(get_prompts(ask)), "there are no prompts")


def change_parameters(ask: Ask, values: dict[str, Any]) -> None:
    """Set good parameters: accepted, and then they are so."""
    result = set_parameters(ask, values)
    check(result.successful, f"{values} was refused: {result.reason}")
    check(get_parameters(ask, list(values)) == list(values.values()), f"{values} was not set")


def refuse_parameters(ask: Ask, values: dict[str, Any]) -> None:
    """Set bad parameters: refused with a reason, and nothing is changed."""
    before = get_parameters(ask, list(values))
    result = set_parameters(ask, values)
    check(not result.successful and bool(result.reason), f"{values} was accepted")
    check(get_parameters(ask, list(values)) == before, f"{values} changed something")


def change_prompts(ask: Ask, prompts: list[str]) -> None:
    """Set prompts, a new phrase among them: they are in use at once."""
    prompts = [*prompts, f"thing number {next(_numbers)}"]
    answer = ask(SetPrompts, "set_prompts", False, prompts=prompts)
    check(answer.success, f"{prompts} were refused: {answer.message}")
    check(get_prompts(ask) == prompts, f"get_prompts after setting {prompts}")


def many_prompts(ask: Ask, _: None) -> None:
    """Many prompts, and few again; as a parameter, which answers before they are embedded."""
    for prompts in (MANY_PROMPTS, PROMPTS):
        result = set_parameters(ask, {"prompts": prompts})
        check(result.successful, f"{len(prompts)} prompts were refused: {result.reason}")
        end = time.monotonic() + _EMBEDDING_TIMEOUT
        while len(ask(GetPrompts, "get_prompts", True).class_ids) != len(prompts):
            check(time.monotonic() < end, f"{len(prompts)} prompts were never in use")
            time.sleep(0.2)


def refuse_prompts(ask: Ask, name: str) -> None:
    """Set bad prompts: refused with a reason, and the old ones stay."""
    before = get_prompts(ask)
    # Counting tokens is the text encoder's work: that refusal may wait its turn.
    quick = name != "too long for the model"
    answer = ask(SetPrompts, "set_prompts", quick, prompts=BAD_PROMPTS[name])
    check(not answer.success and bool(answer.message), f"bad prompts ({name}) were accepted")
    check(get_prompts(ask) == before, f"bad prompts ({name}) changed the prompts")


def segment(ask: Ask, bad: bool) -> None:
    """One image by service: good, or with too few bytes."""
    size = 96 * 128
    image = Image(height=96, width=128, step=128, encoding="mono8")
    image.data = array("B", bytes(size - bad))
    image.header.stamp.sec = 7
    answer = ask(Segment, "segment", False, image=image)
    check(answer.success != bad, f"segment of a {'bad' if bad else 'good'} image")
    if not bad:
        check(answer.mask.header.stamp.sec == 7, "the stamp of segment's mask")
        check((answer.mask.height, answer.mask.width) == (96, 128), "the size of segment's mask")


def pause(ask: Ask, _: None) -> None:
    """Deactivate, look around, activate."""
    for number, state in (
        (Transition.TRANSITION_DEACTIVATE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
    ):
        answer = ask(ChangeState, "change_state", True, transition=Transition(id=number))
        check(answer.success, f"the transition to {state} failed")
        label = ask(GetState, "get_state", True).current_state.label
        check(label == state, f"it is {label}, not {state}")
        get_prompts(ask)


CALLS = (
    Call(0.2, many_prompts),  # first: the node begins with these
    Call(3, read_state),
    Call(3, read_parameters),
    Call(5, read_prompts),
    Call(5, change_parameters, GOOD_PARAMETERS),
    Call(5, refuse_parameters, BAD_PARAMETERS),
    Call(3, change_prompts, GOOD_PROMPTS),
    Call(3, refuse_prompts, tuple(BAD_PROMPTS)),
    Call(2, segment, (False, True)),
    Call(1, pause),
)
