# SPDX-License-Identifier: Apache-2.0
"""Text embeddings on disk: bit by bit what was computed, and never in anybody's way."""

from __future__ import annotations

import errno
import os
import threading

import pytest
import torch
from forked_process import ForkedProcess
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.models.building import build_clip
from dinoiser_ros.segmentation.text import cache as text_cache
from dinoiser_ros.segmentation.text.cache import TextCache
from dinoiser_ros.segmentation.text.encoder import TextEncoder
from dinoiser_ros.segmentation.text.identity import text_identity, text_names, weights_digest
from dinoiser_ros.segmentation.weights.cache import cache_folder

VECTOR = torch.tensor([0.6, -0.8, 1e-30, float("-0.0")])


def load(cache: TextCache, key: str) -> torch.Tensor | None:
    return cache.load([key]).get(key)


def files(folder) -> list:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@given(
    st.dictionaries(st.text(), st.lists(st.floats(width=32), min_size=1, max_size=9), max_size=5),
    st.text(),
)
def test_what_is_stored_comes_back_bit_by_bit(tmp_path_factory, entries, other):
    cache = TextCache(tmp_path_factory.mktemp("bits"))
    vectors = {key: torch.tensor(values, dtype=torch.float32) for key, values in entries.items()}
    cache.store(vectors)
    assert cache.problem is None
    found = TextCache(cache.folder).load([*vectors, other])
    assert found.keys() == vectors.keys()
    for key, vector in vectors.items():
        assert found[key].numpy().tobytes() == vector.numpy().tobytes()


@given(st.data())
def test_a_damaged_file_is_none(tmp_path_factory, data):
    cache = TextCache(tmp_path_factory.mktemp("damage"))
    cache.store({"key": VECTOR})
    (path,) = files(cache.folder)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.one_of(
            st.just(whole[:place]),
            st.just(whole + b"x"),
            st.integers(1, 255).map(
                lambda flip: whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
            ),
            st.binary(max_size=200),
        )
    )
    path.write_bytes(damaged)
    assert load(cache, "key") is None or damaged == whole
    cache.store({"key": VECTOR})
    assert torch.equal(load(cache, "key"), VECTOR), "and it is mended"


def test_a_file_of_another_key_is_none(tmp_path):
    cache = TextCache(tmp_path)
    cache.store({"one": VECTOR, "two": -VECTOR})
    one, two = cache._path("one"), cache._path("two")
    two.replace(one)
    assert cache.load(["one", "two"]) == {}


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to itself"])
def test_what_is_no_file_is_none(tmp_path, kind):
    cache = TextCache(tmp_path)
    path = cache._path("key")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    assert load(cache, "key") is None
    cache.store({"key": VECTOR})
    assert (cache.problem is None) == (kind != "folder")
    assert files(tmp_path) == [path] or kind == "folder", "no temporary file is left"


def test_only_so_many_are_kept(tmp_path):
    cache = TextCache(tmp_path, most_files=3)
    for number in range(3):
        cache.store({str(number): VECTOR})
        os.utime(cache._path(str(number)), (number + 1, number + 1))
    assert load(cache, "0") is not None, "used just now, so no longer the oldest"
    cache.store({"3": VECTOR})
    assert cache.load(["0", "1", "2", "3"]).keys() == {"0", "2", "3"}
    assert len(files(tmp_path)) == 3


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, error):
    cache = TextCache(tmp_path / "text")

    def fail(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(text_cache.os, "replace", fail)
    cache.store({"key": VECTOR})
    assert os.strerror(error) in cache.problem and str(tmp_path) in cache.problem
    assert load(cache, "key") is None and files(tmp_path) == []
    monkeypatch.undo()
    cache.store({"key": VECTOR})
    assert cache.problem is None and load(cache, "key") is not None


def test_where_the_folder_should_be_there_is_a_file(tmp_path):
    (tmp_path / "text").write_text("a file")
    cache = TextCache(tmp_path / "text")
    assert load(cache, "key") is None
    cache.store({"key": VECTOR})
    assert "DINOISER_CACHE" in cache.problem


def test_threads_may_store_and_load_at_once(tmp_path):
    wrong = []

    def work(number: int) -> None:
        cache = TextCache(tmp_path, most_files=5)
        for step in range(30):
            key = str((number + step) % 8)
            cache.store({key: VECTOR * int(key)})
            found = load(cache, key)
            if cache.problem or not (found is None or torch.equal(found, VECTOR * int(key))):
                wrong.append((key, found, cache.problem))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


STORE_MANY = """
import sys, torch
from pathlib import Path
from dinoiser_ros.segmentation.text.cache import TextCache
cache = TextCache(Path(sys.argv[1]), most_files=20)
for step in range(60):
    key = str(step % 25)
    cache.store({key: torch.full((64,), float(key))})
    for other, vector in cache.load([str(n) for n in range(25)]).items():
        assert vector.shape == (64,) and (vector == float(other)).all(), (other, vector)
    assert cache.problem is None, cache.problem
"""


def test_two_processes_share_a_folder(tmp_path):
    processes = [ForkedProcess(STORE_MANY, [str(tmp_path)], dict(os.environ)) for _ in range(2)]
    for process in processes:
        errors = process.stdout.read()
        assert process.wait(120) == 0, errors
    assert 20 <= len(files(tmp_path)) <= 21, "at most one more, of whoever was last"


# -- in the segmenter ----------------------------------------------------------------------------


def make() -> Segmenter:
    return Segmenter(**GOLDEN_MODEL, device="cpu", precision="float32")


def never(*_):
    raise AssertionError("computed again")


def test_another_process_need_not_compute_again(monkeypatch):
    first = make()
    first.set_prompts(GOLDEN_PROMPTS)
    assert len(list(cache_folder().rglob("*.embedding"))) == len(GOLDEN_PROMPTS)
    second = make()
    monkeypatch.setattr(second._text, "_compute", lambda missing: never() if missing else {})
    second.set_prompts(GOLDEN_PROMPTS[::-1])
    wanted = first.vocabulary.embeddings.flip(0)
    assert torch.equal(second.vocabulary.embeddings, wanted), "bit by bit"


def test_the_cache_changes_no_result(tmp_path, monkeypatch):
    cached = [make(), make()]
    for segmenter in cached:
        segmenter.set_prompts(GOLDEN_PROMPTS)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path / "file"))
    plain = make()
    plain.set_prompts(GOLDEN_PROMPTS)
    assert plain.text_cache_problem and not cached[1].text_cache_problem
    for segmenter in cached:
        assert torch.equal(segmenter.vocabulary.embeddings, plain.vocabulary.embeddings)


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    def no_home(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DINOISER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(text_cache.Path, "expanduser", no_home)
    assert text_cache.open_text_cache() is None


def test_a_model_in_memory_is_not_kept(golden):
    golden.embed_prompts(["never said"])  # the text tower is complete from here on
    encoder = TextEncoder(golden._text._clip, golden._text._tokenizer)
    assert encoder.cache_problem is None
    before = files(cache_folder())
    encoder.embed(["seldom said"])
    assert files(cache_folder()) == before


def small_clip(**text_cfg) -> tuple[torch.nn.Module, object]:
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 16, "patch_size": 16}
    text = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    quick = text_cfg.pop("quick_gelu", False)
    config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": {**text, **text_cfg}}
    return build_clip({**config, "quick_gelu": quick})


def identity(clip: torch.nn.Module, tokenizer: object) -> str:
    state = clip.state_dict()
    return text_identity(clip, tokenizer, weights_digest(state, text_names(state)))


def test_an_identity_belongs_to_one_model(monkeypatch):
    base, tokenizer = small_clip()
    identities = [identity(base, tokenizer)]
    assert identity(*small_clip()) == identities[0]
    for change in ({"heads": 1}, {"context_length": 21}, {"quick_gelu": True}):
        identities.append(identity(*small_clip(**change)))
    touched, _ = small_clip()
    with torch.no_grad():
        touched.token_embedding.weight[-1, -1] += 1e-6
    identities.append(identity(touched, tokenizer))
    identities.append(identity(small_clip()[0].to(torch.bfloat16), tokenizer))
    monkeypatch.setattr(
        "dinoiser_ros.segmentation.text.identity.TEMPLATES", [lambda text: f"a {text}"]
    )
    identities.append(identity(base, tokenizer))
    assert len(set(identities)) == len(identities)


def test_the_image_tower_has_no_part_in_it():
    base, tokenizer = small_clip()
    before = identity(base, tokenizer)
    base.visual.to(torch.bfloat16)
    assert identity(base, tokenizer) == before
