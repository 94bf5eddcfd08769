# SPDX-License-Identifier: Apache-2.0
"""Launch arguments: lists of texts as people write them, files and names that do not exist."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.ros.launch_arguments import check_names, existing_file, typed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[floor, 'traffic cone']", ["floor", "traffic cone"]),
        ("person", ["person"]),
        ("['7', \"yes\", y]", ["7", "yes", "y"]),
        ("floor: carpet, tiles", ["floor: carpet, tiles"]),
        ("[{floor: 'carpet, tiles'}, person]", ["floor: carpet, tiles", "person"]),
        ("[floor: [carpet, tiles], person]", ["floor: carpet, tiles", "person"]),
        ('["floor: carpet", wall]', ["floor: carpet", "wall"]),
        ("[Straße, 人]", ["Straße", "人"]),
    ],
)
def test_lists_of_texts(text: str, value: list[str]) -> None:
    assert typed("prompts", list, text) == value


@pytest.mark.parametrize(
    ("text", "quoting"),
    [
        ("[yes, 7, null]", "['yes', '7', 'null']"),
        ("007", "['007']"),
        ("off", "['off']"),
        ("[floor, 1.50]", "['floor', '1.50']"),
        ("[floor, 2024-01-02]", "['floor', '2024-01-02']"),
        ("[floor, ~]", "['floor', '~']"),
        ("[floor: 7]", "['floor: 7']"),
        ("[floor: , person]", "['floor', 'person']"),
        ("[[floor, wall], person]", "['floor, wall', 'person']"),
        ("{a: b, c: d}", "['a: b, c: d']"),
        ("[{}]", "['floor', 'person']"),
        ("[it's, no]", "['it''s', 'no']"),
    ],
)
def test_what_is_no_text_is_refused_with_the_right_quoting(text: str, quoting: str) -> None:
    with pytest.raises(ParameterError) as refused:
        typed("prompts", list, text)
    assert str(refused.value).endswith(f"write {quoting}")
    texts = typed("prompts", list, quoting)
    assert isinstance(texts, list) and all(isinstance(entry, str) for entry in texts)


def test_what_can_be_read_in_two_ways_is_said() -> None:
    said: list[str] = []
    assert typed("prompts", list, "[floor: carpet, tiles]", said.append) == [
        "floor: carpet",
        "tiles",
    ]
    assert "['floor: carpet', 'tiles']" in said[0]
    typed("prompts", list, "['floor: carpet', tiles]", said.append)
    assert len(said) == 1
    assert typed("prompts", list, "floor, wall", said.append) == ["floor, wall"]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("kind", "text"),
    [(list, "[]"), (list, "[a"), (list, " "), (bool, "perhaps"), (int, "1.5"), (float, "x")],
)
def test_a_wrong_argument_is_said(kind: type, text: str) -> None:
    with pytest.raises(ParameterError, match="launch argument name has to be"):
        typed("name", kind, text)


def test_other_types() -> None:
    assert typed("autostart", bool, "false") is False
    assert typed("model", str, "007") == "007"
    assert typed("rate", float, "5") == 5.0


def test_names_that_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    known = ["prompts", "image"]
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "x", "segment.launch.py"])
    with pytest.raises(ParameterError, match="'promts': did you mean 'prompts'"):
        check_names("/a/segment.launch.py", ["image", "promts"], known, said.append)
    with pytest.raises(ParameterError, match="'camera': see --show-args"):
        check_names("/a/segment.launch.py", ["camera"], known, said.append)
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "robot", "bringup.launch.py"])
    check_names("/a/segment.launch.py", ["camera", "promts"], known, said.append)
    assert len(said) == 1 and "prompts" in said[0], "the including file may have others"


def test_files(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("")
    assert existing_file("params_file", f"{tmp_path}/x.yaml") == f"{tmp_path}/x.yaml"
    for wrong in ("y.yaml", ""):
        with pytest.raises(ParameterError, match="no such file"):
            existing_file("params_file", f"{tmp_path}/{wrong}")
