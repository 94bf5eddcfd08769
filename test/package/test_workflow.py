# SPDX-License-Identifier: Apache-2.0
"""GitHub's workflow and forms, and pre-commit: checked as far as they can be without running."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from paths import ROOT

WORKFLOW = ".github/workflows/ci.yml"
SCHEMAS = {
    WORKFLOW: "vendor.github-workflows",
    ".github/workflows/release.yml": "vendor.github-workflows",
    ".github/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/feature.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
}


def parsed(path: str) -> Any:
    """A YAML file; "on" stays a text."""
    return yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def steps() -> list[dict[str, Any]]:
    """The steps of all jobs."""
    return [step for job in parsed(WORKFLOW)["jobs"].values() for step in job["steps"]]


def commands() -> str:
    """Everything that the workflow runs in a shell."""
    texts = [step.get("run", "") for step in steps()]
    texts += [value for step in steps() for value in step.get("env", {}).values()]
    return "\n".join(texts)


@pytest.mark.parametrize("path", SCHEMAS)
def test_github_can_read_it(path):
    """Against GitHub's schemas, which check-jsonschema ships: nothing is fetched."""
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema: run `make test`")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[path]]
    done = subprocess.run([*command, ROOT / path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_github_file_is_checked():
    files = {p.relative_to(ROOT).as_posix() for p in (ROOT / ".github").rglob("*.yml")}
    assert files == set(SCHEMAS)


def test_make_targets_of_the_workflow_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = set(re.findall(r"\bmake ([a-z-]+)", commands()))
    assert called == {"lint", "test", "docs"}
    assert called <= set(re.findall(r"(?m)^([a-z-]+):", makefile))


def test_files_of_the_workflow_exist():
    text = (ROOT / WORKFLOW).read_text(encoding="utf-8")
    named = re.findall(r"\$TARGET_REPO_PATH/([\w./-]+\w)", text)
    assert {"requirements.txt", "requirements-dev.txt", "constraints-ros.txt"} == set(named)
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_supported_python_and_ros_is_in_the_workflow():
    jobs = parsed(WORKFLOW)["jobs"]
    setup_env = (ROOT / "tools" / "setup_env.py").read_text(encoding="utf-8")
    (supported,) = re.findall(r"(?m)^SUPPORTED = \((.*)\)$", setup_env)
    assert jobs["test"]["strategy"]["matrix"]["python"] == re.findall(r'"([\d.]+)"', supported)
    entries = jobs["ros"]["strategy"]["matrix"]["include"]
    assert [entry["distribution"] for entry in entries] == ["humble", "jazzy", "kilted", "rolling"]


def test_pre_commit_runs_what_make_lint_runs():
    hooks = {
        hook["id"]: hook
        for repo in parsed(".pre-commit-config.yaml")["repos"]
        for hook in repo["hooks"]
    }
    assert {"ruff-check", "ruff-format", "mypy", "check-yaml", "end-of-file-fixer"} <= set(hooks)
    for name, module in (("ruff-check", "ruff"), ("ruff-format", "ruff"), ("mypy", "mypy")):
        program, option, started, *_ = hooks[name]["entry"].split()
        assert (program, option, started) == (".venv/bin/python", "-m", module)
        pytest.importorskip(module)


@pytest.mark.parametrize("path", ["mkdocs.yml", *map(str, ROOT.glob("config/*.yaml"))])
def test_other_yaml_files_parse(path):
    assert isinstance(parsed(path), dict)


def test_the_changelog_names_the_version_of_the_package():
    text = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    (version,) = re.findall(r"<version>(.+)</version>", (ROOT / "package.xml").read_text("utf-8"))
    headings = re.findall(r"(?m)^(.+)\n-+$", text)
    assert headings[0] == "Forthcoming"
    assert re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", headings[1])
    for heading, line in re.findall(r"(?m)^(.+)\n(-+)$", text):
        assert len(heading) == len(line)
