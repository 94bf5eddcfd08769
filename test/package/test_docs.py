# SPDX-License-Identifier: Apache-2.0
"""The documents say what the code does: their tables against the code and the running node."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from paths import ROOT
from ros_helpers import WITH_DEPTH, running_node, wait_until
from sensor_msgs.msg import PointCloud2

from dinoiser_ros.messages.decode import ENCODINGS
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.models.registry import MODELS

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
# What every node of ROS has, or every lifecycle node.
STANDARD_TOPICS = {"/rosout", "/parameter_events", "/clock", "/dinoiser/transition_event"}
STANDARD_SERVICE = re.compile(
    r".*/(describe|get|list|set)_parameter.*|.*/get_type_description"
    r"|.*/(change_state|get_state|get_available_states|get_available_transitions"
    r"|get_transition_graph)"
)


def update_docs() -> ModuleType:
    """The tool that writes the generated parts."""
    path = ROOT / "tools" / "update_docs.py"
    spec = importlib.util.spec_from_file_location("update_docs", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def first_cells(page: str, heading: str) -> set[str]:
    """What stands in backticks in the first column of the table that begins with a heading."""
    table = text_of(page).split(f"| {heading} |")[1].split("\n\n")[0]
    return {
        name
        for row in table.splitlines()[2:]
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }


@pytest.mark.parametrize("page", list(update_docs().PARTS))
def test_generated_parts_are_up_to_date(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert update_docs().updated(page) == text, (
        "run: . tools/env.sh && python3 tools/update_docs.py"
    )


def test_generated_parts_say_something():
    tool = update_docs()
    assert tool.commands().count("\n## dinoiser ") == 10  # after the first of eleven
    assert "| `-p`, `--prompts` `TEXT ...` |" in tool.commands()
    assert "### dinoiser_ros/srv/SetPrompts" in tool.messages()
    assert {row[0] for row in tool.declared_arguments("segment")} >= {"image", "prompts", "model"}
    assert {row[0] for row in tool.declared_arguments("demo")} >= {"rate", "viewer"}


# -- topics, services, messages --------------------------------------------------------------------


def documented() -> dict[str, tuple[str, str]]:
    """Name -> (type, direction) of the interface table."""
    text = text_of("reference/interfaces.md")
    table = text.split("<!-- interfaces -->")[1].split("<!-- /interfaces -->")[0]
    rows = [[c.strip() for c in row.strip("|").split("|")] for row in table.strip().splitlines()]
    names = [row[0].strip("`") for row in rows[2:]]
    assert len(set(names)) == len(names), "each is documented once"
    return {row[0].strip("`"): (row[1], row[2]) for row in rows[2:]}


def offered(client) -> dict[str, tuple[str, str]]:
    """The same, of the running node."""
    node, found = client.node, {}
    for direction, pairs in (
        ("in", node.get_subscriber_names_and_types_by_node("dinoiser", "/")),
        ("out", node.get_publisher_names_and_types_by_node("dinoiser", "/")),
        ("service", node.get_service_names_and_types_by_node("dinoiser", "/")),
    ):
        for name, types in pairs:
            if name in STANDARD_TOPICS or STANDARD_SERVICE.fullmatch(name):
                continue
            name = re.sub(r"^/dinoiser/masks/.*", "~/masks/<class>", name)
            name = re.sub(r"^/dinoiser/(obstacles|ground)/.*", r"~/\1/<group>", name)
            name = re.sub(r"^/(image|depth|camera_info)$", r"\1", name)
            name = name.replace("/dinoiser/", "~/")
            found[name] = (re.sub("/(msg|srv)/", "/", types[0]), direction)
    return found


def test_interfaces_are_those_of_the_running_node():
    wanted = documented()
    for name in ("image", "depth"):  # or CompressedImage, whichever is published
        wanted[name] = ("sensor_msgs/Image", "in")
    with running_node(WITH_DEPTH) as (_, client):
        client.collect(PointCloud2, "/dinoiser/points", 10)  # else depth is not subscribed to
        wait_until(lambda: len(offered(client)) >= len(wanted), "discovery of all interfaces")
        assert offered(client) == wanted


def test_every_message_and_service_is_in_the_table():
    files = {path.stem for folder in ("msg", "srv") for path in (ROOT / folder).iterdir()}
    text = text_of("reference/interfaces.md")
    table = text.split("<!-- interfaces -->")[1].split("<!-- /interfaces -->")[0]
    assert {name for name in files if name not in table} == set()


# -- tables that are written by hand ---------------------------------------------------------------


def test_every_method_and_model_is_documented():
    assert first_cells("reference/methods.md", "method") == set(METHODS)
    assert first_cells("reference/methods.md", "model") - {".json", ".safetensors"} == set(MODELS)


def test_every_encoding_is_documented():
    page = text_of("reference/interfaces.md").split("## Encodings")[1].split("\n## ")[0]
    assert set(re.findall(r"`([^`]+)`", page)) == set(ENCODINGS)


def test_every_configuration_file_and_executable_is_documented():
    assert first_cells("reference/files.md", "file") == {p.name for p in ROOT.glob("config/*")}
    scripts = {path.name for path in (ROOT / "scripts").iterdir()}
    assert first_cells("reference/files.md", "`ros2 run dinoiser_ros ...`") == scripts


def read_from_the_environment(path: Path) -> set[str]:
    """Names that a module asks `os.environ` for, as far as they are written there."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript):
            asked, arguments = node.value, [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked, arguments = node.func.value, node.args[:1]
        else:
            continue
        if isinstance(asked, ast.Attribute) and asked.attr == "environ":
            names |= {a.value for a in arguments if isinstance(a, ast.Constant)}
    return names


def test_every_environment_variable_is_documented():
    files = [*ROOT.glob("dinoiser_ros/**/*.py"), ROOT / "tools" / "setup_env.py"]
    asked = set().union(*map(read_from_the_environment, files))
    assert {"DINOISER_CACHE", "HF_ENDPOINT", "PYTHON"} <= asked
    internal = {
        "DINOISER_GL_CHECKED",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
        "OPENCV_FFMPEG_LOGLEVEL",
        "NNCF_CI",  # told to nncf, so that it sends no statistics
        "PATH",
        "CXX",
    }
    page = text_of("reference/environment.md")
    assert {name for name in asked - internal if f"`{name}`" not in page} == set()


def test_every_diagnostic_value_is_documented():
    source = (
        ROOT / "dinoiser_ros" / "ros" / "segment" / "monitoring" / "diagnostics.py"
    ).read_text("utf-8")
    keys = set(re.findall(r'^        "([a-z0-9_]+)": ', source, re.MULTILINE))
    assert {"rate_in_hz", "dropped", "last_error"} <= keys
    page = text_of("how-to/diagnostics.md")
    assert {key for key in keys if f"`{key}`" not in page and key != "state"} == set()


# -- commands and code in the documents ------------------------------------------------------------


def fenced(language: str) -> list[tuple[str, str]]:
    """(document, text) of every block of code in a language."""
    return [
        (path.relative_to(ROOT).as_posix(), textwrap.dedent(block))
        for path in DOCUMENTS
        for block in re.findall(
            rf"(?ms)^[ ]*```{language}\n(.*?)^[ ]*```$", path.read_text(encoding="utf-8")
        )
    ]


def shell_commands(program: str) -> list[tuple[str, list[str]]]:
    """(document, arguments) of every call of a program."""
    found = []
    for page, block in fenced("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.split(" && "):
                words = shlex.split(command, comments=True)
                if words[: len(program.split())] == program.split():
                    found.append((page, words[len(program.split()) :]))
    return found


def test_every_command_in_the_documents_can_be_parsed(capsys):
    commands = shell_commands("dinoiser")
    assert len(commands) > 15
    parser = update_docs()._parser()
    for page, arguments in commands:
        try:
            parser.parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{page}: dinoiser {shlex.join(arguments)}: {capsys.readouterr().err}")


def test_every_launch_argument_in_the_documents_exists():
    tool, seen = update_docs(), 0
    segment = {row[0] for row in tool.declared_arguments("segment")}
    declared = {
        "segment.launch.py": segment,
        "demo.launch.py": segment | {row[0] for row in tool.declared_arguments("demo")},
    }
    for page, (file, *arguments) in shell_commands("ros2 launch dinoiser_ros"):
        for argument in arguments:
            if not argument.startswith("--"):
                assert argument.partition(":=")[0] in declared[file], page
                seen += 1
    assert seen > 10


def test_every_parameter_set_in_the_documents_exists():
    from dinoiser_ros.ros.segment.parameters import BY_NAME

    calls = shell_commands("ros2 param set /dinoiser")
    assert calls and [words[0] for _, words in calls if words[0] not in BY_NAME] == []


@pytest.mark.parametrize(("page", "code"), fenced("xml"))
def test_launch_files_in_the_documents_give_arguments_that_exist(page, code):
    declared = set(re.findall(r"(?m)^\| `(\w+)` \|", text_of("reference/files.md")))
    root = ElementTree.fromstring(code)
    if root.tag != "launch":
        return
    included = root.findall("include")
    assert included
    for entry in included:
        assert (ROOT / "launch" / Path(entry.attrib["file"]).name).is_file()
        assert {argument.attrib["name"] for argument in entry} <= declared


@pytest.mark.parametrize(("page", "code"), fenced("python"))
def test_python_in_the_documents_imports_what_exists(page, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert [entry.name for entry in node.names if not hasattr(module, entry.name)] == []


# -- the documents as a whole ----------------------------------------------------------------------


def test_the_readme_can_be_read_in_three_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_linked_files_exist(path):
    links = re.findall(r"\]\(((?!https?:|#)[^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_files_in_the_architecture_exist():
    """In the text and in the drawing; the folder dinoiser_ros is left out in both."""
    text = text_of("explanation/architecture.md")
    named = set(re.findall(r"`([\w/]+\.py|[\w/]+/)`", text))
    drawing = (DOCS / "images" / "frame_path.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r">([\w/]+\.py|[\w/]+/)<", drawing))
    assert len(named) > 15 and len(drawn) > 10
    inside = ROOT / "dinoiser_ros"
    folders = (
        ROOT,
        inside,
        inside / "segmentation",
        inside / "messages",
        inside / "ros" / "segment",
        inside / "ros" / "segment" / "inference",
    )
    gone = {name for name in named | drawn if not any((f / name).exists() for f in folders)}
    assert gone == set()


def test_every_page_is_in_the_navigation_and_in_the_readme():
    config = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader=yaml.BaseLoader)
    listed = set(re.findall(r"[\w/-]+\.md", str(config["nav"])))
    assert listed == {path.relative_to(DOCS).as_posix() for path in PAGES}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    built = {"index.md", "reference/python-api.md"}  # the latter is empty until it is built
    assert {page for page in listed - built if f"(docs/{page})" not in readme} == set()


def test_make_targets_in_the_documents_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    files = [*DOCUMENTS, ROOT / "CHANGELOG.rst"]
    named = {
        target
        for path in files
        for target in re.findall(r"(?m)(?:`|^)make ([a-z-]+)", path.read_text(encoding="utf-8"))
    }
    assert {"demo", "test", "docs"} <= named <= targets


def test_the_site_builds_with_every_link_right(tmp_path):
    pytest.importorskip("mkdocs", reason="needs what `make docs` installs")
    pytest.importorskip("latex2mathml", reason="needs what `make docs` installs")
    build = [sys.executable, ROOT / "tools" / "run_module.py", "mkdocs", "build", "--strict"]
    done = subprocess.run(
        [*build, "--site-dir", tmp_path / "site"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    method = (tmp_path / "site" / "explanation" / "method.html").read_text(encoding="utf-8")
    assert "<math" in method and "```math" not in method and "\\frac" not in method
    api = (tmp_path / "site" / "reference" / "python-api.html").read_text(encoding="utf-8")
    assert "set_prompts" in api and "PromptError" in api
    outside = {
        url
        for page in (tmp_path / "site").rglob("*.html")
        for url in re.findall(
            r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(https?:[^"]+)',
            page.read_text(encoding="utf-8"),
        )
    }
    assert outside == set(), "the site loads nothing from other servers"
