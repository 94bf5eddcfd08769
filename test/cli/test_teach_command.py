# SPDX-License-Identifier: Apache-2.0
"""`dinoiser teach`, as its user runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden_data import GOLDEN_MODEL
from PIL import Image

from dinoiser_ros.cli.main import main

MODEL = [part for key, path in GOLDEN_MODEL.items() for part in (f"--{key}", str(path))]


@pytest.fixture
def picture(tmp_path: Path, expected: dict) -> Path:
    place = tmp_path / "square.png"
    Image.fromarray(expected["square.image_u8"]).save(place)
    return place


def teach(file: Path, *more: object) -> int:
    return main(["teach", *map(str, more), "--examples-file", str(file), *MODEL])


def test_teach_list_use_and_remove(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "robot.safetensors"
    assert teach(file) == 0 and "no examples" in capsys.readouterr().out
    assert teach(file, "blue tote", picture, "--point", "5,5", "--point", "9, 20") == 0
    assert teach(file, "blue tote", picture, "--box", "2,2,30,30") == 0
    mask = np.zeros(np.asarray(Image.open(picture)).shape[:2], np.uint8)
    mask[:20, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert teach(file, "blue tote", picture, "--mask", tmp_path / "mask.png") == 0
    assert "@blue tote has 4 examples" in capsys.readouterr().out
    assert teach(file) == 0 and capsys.readouterr().out == "@blue tote  4\n"
    command = ["segment", str(picture), "-o", str(tmp_path / "out"), *MODEL]
    command += ["--examples-file", str(file), "--prompts", "tote: person, @blue tote", "floor"]
    assert main(command) == 0
    assert teach(file, "blue tote", "--remove", 1) == 0
    assert teach(file, "blue tote", "--remove") == 0
    assert "0 examples left" in capsys.readouterr().out and not file.exists()


def test_a_picture_is_upright_as_people_and_segment_see_it(
    tmp_path: Path, expected: dict, capsys: pytest.CaptureFixture
) -> None:
    """A camera that was held on end says so in the EXIF data: rows of the file are columns."""
    wide = np.tile(expected["square.image_u8"], (1, 2, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    place = tmp_path / "upright.jpg"
    Image.fromarray(wide).save(place, exif=exif)
    height, width = wide.shape[:2]
    inside, outside = f"{height - 2},{width - 2}", f"{width - 2},{height - 2}"
    file = tmp_path / "robot.safetensors"
    assert teach(file, "tote", place, "--point", inside) == 0
    assert teach(file, "tote", place, "--point", outside) == 1
    assert "outside the picture" in capsys.readouterr().err


def test_what_is_missing_is_said(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "robot.safetensors"
    assert main(["teach", "tote", str(picture), "--point", "1,1", *MODEL]) == 1
    assert "give --examples-file" in capsys.readouterr().err
    assert teach(file, "tote", picture) == 1
    assert "--point, --box or --mask" in capsys.readouterr().err
    assert teach(file, "tote", picture, "--point", "9000,1") == 1
    assert "outside the picture" in capsys.readouterr().err
    assert teach(tmp_path / "robot.pkl", "tote", picture, "--point", "1,1") == 1
    assert "let its name end in .safetensors" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        teach(file, "tote", picture, "--point", "1;1")
    assert "2 numbers between commas" in capsys.readouterr().err
    assert not file.exists()
