# SPDX-License-Identifier: Apache-2.0
"""Parameters keep their types, accepted changes are logged, names that do not exist are said."""

from __future__ import annotations

from ros_helpers import running_node, wait_until

from dinoiser_ros.srv import SetPrompts

PROMPTS = ["background", "person"]


def test_types_stay_what_they_were_declared_to_be() -> None:
    """After a refused set, and after 1 for 1.0, as `ros2 param set` sends it."""
    from rcl_interfaces.srv import DescribeParameters, GetParameterTypes

    names = ["gamma", "inference_size", "prompts", "background_filter"]
    with running_node({"prompts": PROMPTS, "gamma": 1}) as (process, client):
        declared = client.call(
            GetParameterTypes, "/dinoiser/get_parameter_types", names=names
        ).types
        assert client.set_parameters(gamma="x")[0] is False
        assert "['floor']" in client.set_parameters(prompts="floor")[1]
        assert "quotes" in client.set_parameters(prompts=[True, False])[1]
        assert "in quotes: '7'" in client.set_parameters(background_source=7)[1]
        assert "did you mean 'prompts'" in client.set_parameters(promts=["a"])[1]
        assert client.set_parameters(gamma=1) == (True, "")
        assert client.set_parameters(background_filter=False) == (True, "")  # unquoted off
        assert client.get_parameter("background_filter") == "off"
        answer = client.call(DescribeParameters, "/dinoiser/describe_parameters", names=names)
        types = client.call(GetParameterTypes, "/dinoiser/get_parameter_types", names=names).types
        assert list(types) == list(declared) == [entry.type for entry in answer.descriptors]
        (gamma,) = answer.descriptors[0].floating_point_range
        (size,) = answer.descriptors[1].integer_range
        assert (gamma.from_value, gamma.to_value) == (-1.0, 1.0)
        assert (size.from_value, size.to_value) == (0, 4096)
        assert answer.descriptors[0].additional_constraints.startswith("-1, or 0 to 1")
        answer = client.call(SetPrompts, "/dinoiser/set_prompts", prompts=["chair", "wall"])
        assert answer.success, answer.message
        wait_until(lambda: "prompts set:" in process.log, "the line about the prompts")
        accepted = [line for line in process.log.splitlines() if " set: " in line]
        assert len(accepted) == 3 and all("INFO" in line for line in accepted)
        for line, said in zip(accepted, ("gamma=1.0", "'off'", "['chair', 'wall']"), strict=True):
            assert line.endswith(said)


def test_parameters_that_do_not_exist_are_warned_of_by_name() -> None:
    with running_node({"prompts": PROMPTS, "promts": ["a"], "gama": 1.0}) as (process, _):
        wait_until(lambda: "promts" in process.log, "the warning")
        (line,) = [line for line in process.log.splitlines() if "promts" in line]
    assert "'promts': did you mean 'prompts'?" in line and "'gama': did you mean 'gamma'?" in line
