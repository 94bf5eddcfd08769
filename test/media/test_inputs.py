# SPDX-License-Identifier: Apache-2.0
"""Which files `dinoiser segment` takes, what its results are called, and that they are whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.media.inputs import BAG, PICTURE, VIDEO, distinct_names, find_inputs, kind_of


def touch(folder: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def names(places: list[Path], output: Path) -> dict[str, str | None]:
    return {entry.name: entry.kind for entry in find_inputs(places, output)}


def test_folders_in_folders_keep_their_paths(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "left/a.PNG", "left/deep/a.jpg", "right/a.mp4", "notes.txt")
    touch(tmp_path, "run_1.5/metadata.yaml", "run_1.5/run_0.db3", "one.mcap")
    found = names([tmp_path], tmp_path / "out")
    assert found == {
        "run_1.5": BAG, "b": PICTURE, "one": BAG, "left/a": PICTURE, "left/deep/a": PICTURE,
        "right/a": VIDEO,
    }  # fmt: skip


def test_equal_stems_never_collide(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.png", "x/a.jpg", "x/a.png.bmp", "y/a.png", "y/b.png", "z/a.png")
    assert list(names([tmp_path / "x"], tmp_path)) == ["a.jpg", "a.png", "a.png_2"]
    places = [tmp_path / "y", tmp_path / "z", tmp_path / "x" / "a.png"]
    assert list(names(places, tmp_path / "out")) == ["a.png", "b", "a.png_2", "a.png_3"]


def test_results_of_earlier_runs_are_no_inputs(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "segmented/a_overlay.png")
    assert names([tmp_path], tmp_path / "segmented") == {"a": PICTURE}


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.png", "elsewhere/b.png")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    assert names([tmp_path / "in"], tmp_path / "out") == {"a": PICTURE, "more/b": PICTURE}


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("broken.png", b"", PICTURE),
        ("PHOTO.JPEG", b"", PICTURE),
        ("clip.MKV", b"", VIDEO),
        ("a.bag", b"", BAG),
        ("a.db3", b"", BAG),
        ("photo", b"\xff\xd8\xff\xe0", PICTURE),
        ("picture", b"\x89PNG\r\n\x1a\n", PICTURE),
        ("film.bin", b"\0\0\0\x18ftypisom", VIDEO),
        ("notes.txt", b"Dear diary", None),
        ("empty", b"", None),
    ],
)
def test_kinds(tmp_path: Path, name: str, content: bytes, kind: str | None) -> None:
    touch(tmp_path, name, content=content)
    assert kind_of(tmp_path / name) == kind


def test_what_is_not_there_has_the_kind_of_its_name(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "nowhere.png") == PICTURE
    assert kind_of(tmp_path / "nowhere") is None


PARTS = st.sampled_from(["a", "a.png", "a.jpg", "b", "a_2", "a.png_2", "x.y", "a.png.jpg"])


@settings(deadline=None)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: Path(*parts))))
def test_names_are_distinct_and_stay_where_they_were(paths: list[Path]) -> None:
    found = distinct_names(paths)
    assert len(set(found)) == len(found) == len(paths)
    assert [Path(name).parent for name in found] == [path.parent for path in paths]
