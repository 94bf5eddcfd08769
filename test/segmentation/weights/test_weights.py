# SPDX-License-Identifier: Apache-2.0
"""Where weights come from: local files, a local HTTP server, the cache, and every way to fail."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_process import ForkedProcess
from golden_data import GOLDEN, GOLDEN_MODEL
from safetensors.torch import load_file, save_file
from siglip_files import write_siglip
from talk2dino_files import write_talk2dino

from dinoiser_ros.segmentation import Segmenter, WeightsError
from dinoiser_ros.segmentation.models.building import read_config
from dinoiser_ros.segmentation.models.registry import MODELS
from dinoiser_ros.segmentation.networks.dinoiser_heads import heads_from_state
from dinoiser_ros.segmentation.weights.cache import cache_folder
from dinoiser_ros.segmentation.weights.checkpoint import read_checkpoint
from dinoiser_ros.segmentation.weights.download import (
    download,
    git_blob_id_of,
    remove_stale_partials,
    sha256_of,
)
from dinoiser_ros.segmentation.weights.sources import find_file, parse_source

HEADS = GOLDEN / "heads.safetensors"


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder; counts requests, and can misbehave."""

    requests = 0
    truncate = False
    announce_sha256: str | None = None
    hold: threading.Event | None = None  # waited for before every answer
    stall: threading.Event | None = None  # waited for in the middle of the next answer

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stalled = threading.Event()


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.requests += 1
        if self.server.hold is not None:
            self.server.hold.wait(60)
        name = self.path.removeprefix("/redirect")
        if name != self.path:  # as a hub does: a redirect to the storage that names the SHA-256
            self.send_response(302)
            self.send_header("Location", name)
            self.send_header("X-Linked-Etag", f'"{self.server.announce_sha256}"')
            self.end_headers()
        elif self.server.truncate:
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
        elif self.server.stall is not None:
            go_on, self.server.stall = self.server.stall, None
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(bytes(500))
            self.wfile.flush()
            self.server.stalled.set()
            go_on.wait(60)
        else:
            super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    for name in ("heads.safetensors", "clip.safetensors", "golden-small.json"):
        shutil.copy(GOLDEN / name, folder)
    with Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as running:
        running.folder = folder
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DINOISER_CACHE", str(folder))
    return folder


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_fetched_once_then_cached(server, cache):
    source = (parse_source(f"{server.url}/heads.safetensors"),)
    path = find_file(source)
    assert path.read_bytes() == HEADS.read_bytes()
    assert find_file(source) == path and server.requests == 1
    assert find_file(source, offline=True) == path
    assert files_in(cache) == [path]


def test_a_model_from_urls(server):
    segmenter = Segmenter(
        GOLDEN_MODEL["model"],
        weights=f"{server.url}/clip.safetensors",
        heads=f"{server.url}/heads.safetensors#sha256={sha256_of(HEADS)}",
        device="cpu",
    )
    assert segmenter.heads.width == 64 and server.requests == 2


def test_the_registered_model_is_fetched_from_the_hub(server, monkeypatch):
    """The hub's address is taken from HF_ENDPOINT, and the file names are the hub's."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    spec = MODELS["vit-b-16"]()
    place = "laion/CLIP-ViT-B-16-laion2B-s34B-b88K/resolve/main"
    assert spec.weights[0].location == f"{server.url}/{place}/open_clip_model.safetensors"
    target = server.folder / place
    target.mkdir(parents=True)
    # Only the older of the two formats is there: the first answers 404, the second is taken.
    torch.save(load_file(GOLDEN / "clip.safetensors"), target / "open_clip_pytorch_model.bin")
    assert find_file(spec.weights).name.endswith("open_clip_pytorch_model.bin")
    assert server.requests == 2


def test_openais_model_is_for_methods_without_heads():
    spec = MODELS["vit-b-16-openai"]()
    assert spec.weights[0].hub_file[0] == "timm/vit_base_patch16_clip_224.openai"
    assert not spec.heads
    config = read_config(spec.config)
    assert config["quick_gelu"] and config["vision_cfg"]["width"] == 768
    with pytest.raises(WeightsError, match="no heads"):
        Segmenter("vit-b-16-openai", device="cpu")
    with pytest.raises(WeightsError, match=r"vit_base_patch16_clip_224\.openai.*switched off"):
        find_file(spec.weights, offline=True)


def test_a_copy_in_the_hubs_own_cache_is_used(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def cached(repository, file):
        asked.append((repository, file))
        return str(HEADS)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert find_file(MODELS["vit-b-16"]().weights, offline=True) == HEADS
    assert asked == [("laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "open_clip_model.safetensors")]


def test_checksum_of_a_download(server, cache):
    with pytest.raises(WeightsError, match=r"SHA-256 .* damaged or another file"):
        find_file((parse_source(f"{server.url}/heads.safetensors#sha256={'0' * 64}"),))
    assert files_in(cache) == []


def test_checksum_announced_by_the_hub(server, cache):
    server.announce_sha256 = sha256_of(HEADS)
    assert find_file((parse_source(f"{server.url}/redirect/heads.safetensors"),)).is_file()
    server.announce_sha256 = "1" * 64
    with pytest.raises(WeightsError, match="SHA-256"):
        find_file((parse_source(f"{server.url}/redirect/clip.safetensors"),))
    assert len(files_in(cache)) == 1


def test_checksum_of_a_local_file():
    assert find_file((parse_source(f"{HEADS}#sha256={sha256_of(HEADS)}"),)) == HEADS
    with pytest.raises(WeightsError, match="damaged or another file"):
        find_file((parse_source(f"{HEADS}#sha256={'0' * 64}"),))


def test_git_blob_id(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"some content\n" * 1000)
    done = subprocess.run(["git", "hash-object", file], capture_output=True, text=True, check=True)
    assert git_blob_id_of(file) == done.stdout.strip()
    assert sha256_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_truncated_download(server, cache):
    server.truncate = True
    with pytest.raises(WeightsError, match=r"ended after \d+ of \d+ bytes: try again"):
        find_file((parse_source(f"{server.url}/heads.safetensors"),))
    assert files_in(cache) == [], "nothing half-written stays"


def test_not_found(server, cache):
    with pytest.raises(WeightsError, match="answered 404"):
        find_file((parse_source(f"{server.url}/other.safetensors"),))
    assert files_in(cache) == []


def test_unreachable(server):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match=r"cannot be reached \(.*\): connect to the network"):
        find_file((parse_source(f"{url}/heads.safetensors"),))


@pytest.mark.parametrize("by", ["argument", "DINOISER_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_says_what_to_do(server, monkeypatch, by):
    if by != "argument":
        monkeypatch.setenv(by, "1")
    with pytest.raises(WeightsError, match=r"network is switched off.*dinoiser download"):
        find_file((parse_source(f"{server.url}/heads.safetensors"),), offline=by == "argument")
    assert server.requests == 0


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    """A file stands where the folder should be: that stops root as well."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="cannot be written.*DINOISER_CACHE"):
        find_file((parse_source(f"{server.url}/heads.safetensors"),))


def test_a_full_disk(server, cache):
    """The system refuses to write more than a part of the file, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(WeightsError, match="cannot be written.*free some space"):
            find_file((parse_source(f"{server.url}/heads.safetensors"),))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_in(cache) == [], "nothing half-written stays"


def test_a_download_that_is_killed_leaves_nothing_broken(server, cache):
    server.stall = go_on = threading.Event()
    program = (
        "import sys; from dinoiser_ros.segmentation.weights.sources import *; "
        "find_file((parse_source(sys.argv[1]),))"
    )
    url = f"{server.url}/heads.safetensors"
    process = ForkedProcess(program, [url], dict(os.environ))
    try:
        assert server.stalled.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    finally:
        go_on.set()
    assert all(path.name.startswith(".partial-") for path in files_in(cache))
    found = find_file((parse_source(url),))
    assert found.read_bytes() == (GOLDEN / "heads.safetensors").read_bytes()


def test_two_processes_fetch_the_same_file_at_once(server, cache):
    """Two nodes that start for the first time: the second one begins while the first receives."""
    server.hold = go_on = threading.Event()
    program = (
        "import sys; from dinoiser_ros.segmentation.weights.sources import *; "
        "print(find_file((parse_source(sys.argv[1]),)))"
    )
    arguments = [f"{server.url}/heads.safetensors"]
    pair = [ForkedProcess(program, arguments, dict(os.environ)) for _ in range(2)]
    try:
        end = time.monotonic() + 60
        while server.requests < 2 and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        go_on.set()
    answers = [process.stdout.read() for process in pair]
    assert server.requests == 2, "both were fetching at the same time"
    assert [process.wait(60) for process in pair] == [0, 0], answers
    (found,) = {output.strip() for output in answers}
    assert Path(found).read_bytes() == (GOLDEN / "heads.safetensors").read_bytes()
    assert files_in(cache) == [Path(found)], "and nothing else is left"


def test_left_overs_of_killed_downloads_are_removed(server, cache):
    cache.mkdir()
    old, young = cache / ".partial-old", cache / ".partial-young"
    for file in (old, young):
        file.write_text("half")
    os.utime(old, (0, 0))
    download(f"{server.url}/heads.safetensors", cache / "heads")
    assert not old.exists() and young.exists()
    remove_stale_partials(cache, older_than=-1)
    assert not young.exists()


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("DINOISER_CACHE", "~/models")
    assert cache_folder() == Path.home() / "models"
    monkeypatch.delenv("DINOISER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert cache_folder() == Path("/var/cache/dinoiser_ros")


# -- files that are there but wrong ----------


def load(**changes: object) -> Segmenter:
    return Segmenter(**{**GOLDEN_MODEL, "device": "cpu", **changes})


@pytest.mark.parametrize("kept", [0, 5, 1000, 100_000])
def test_truncated_files(tmp_path, kept):
    for name in ("clip.safetensors", "clip.pt"):
        broken = tmp_path / name
        broken.write_bytes((GOLDEN / "clip.safetensors").read_bytes()[:kept])
        with pytest.raises(WeightsError, match="cannot be read .* fetch it again"):
            load(weights=broken)


def test_the_authors_layout_is_read(tmp_path):
    path = tmp_path / "last.pt"
    torch.save({"epoch": 100, "model_state_dict": load_file(HEADS)}, path)
    read, embedded = (model.heads.obj_proj.weight for model in (load(heads=path), load()))
    assert torch.equal(read, embedded)


def test_data_parallel_names_are_read(tmp_path):
    path = tmp_path / "last.pt"
    state = {f"module.{name}": tensor for name, tensor in load_file(HEADS).items()}
    torch.save({"state_dict": state}, path)
    assert load(heads=path).heads.width == 64


class Malicious:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_in_a_pickle_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pt"
    torch.save({"model_state_dict": Malicious()}, path)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_checkpoint(path)
    assert not (tmp_path / "executed").exists()


def test_wrong_architecture(tmp_path):
    with pytest.raises(WeightsError, match=r"does not fit .* \(missing: .* and \d+ more\)"):
        load(weights=HEADS)
    state = load_file(GOLDEN / "clip.safetensors")
    state["visual.proj"] = torch.zeros(64, 99)
    other = tmp_path / "other.safetensors"
    save_file(state, other)
    with pytest.raises(WeightsError, match=r"does not fit .* \(other shape: visual.proj\)"):
        load(weights=other)


def test_heads_of_another_backbone(tmp_path):
    state = load_file(HEADS)
    state["obj_proj.weight"] = torch.ones(24, 768, 3, 3)
    state["bkg_decoder.weight"] = torch.ones(1, 768, 1, 1)
    other = tmp_path / "heads.safetensors"
    save_file(state, other)
    with pytest.raises(WeightsError, match="width 768, this backbone has 64"):
        load(heads=other)


@pytest.mark.parametrize("missing", ["obj_proj.bias", "bkg_decoder.weight"])
def test_incomplete_heads(missing):
    state = load_file(HEADS)
    del state[missing]
    with pytest.raises(WeightsError, match=f"lacks {missing}"):
        heads_from_state(state)


def test_heads_bring_their_thresholds(tmp_path):
    path = tmp_path / "heads.safetensors"
    save_file(load_file(HEADS), path, metadata={"gamma": "0.45", "delta": "0.6"})
    heads = load(heads=path).heads
    assert (heads.gamma, heads.delta, heads.intermediate_layer) == (0.45, 0.6, -3)
    assert (load().heads.gamma, load().heads.delta) == (0.2, 0.99)
    save_file(load_file(HEADS), path, metadata={"gamma": "much"})
    with pytest.raises(WeightsError, match="unreadable metadata"):
        load(heads=path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "vit-z-99"}, "no model 'vit-z-99': use one of 'vit-b-16', .*'demo'"),
        ({"model": GOLDEN / "expected.npz"}, "cannot be read as JSON"),
        ({"weights": None}, "no weights of its own: give `weights`"),
        ({"heads": None}, "no heads of its own: give `heads`, or use method 'maskclip'"),
        ({"weights": "nowhere.safetensors"}, "nowhere.safetensors does not exist"),
        ({"heads": "nowhere.pt", "method": "maskclip"}, "nowhere.pt does not exist"),
    ],
)
def test_what_is_missing_is_named(changes, reason):
    with pytest.raises(WeightsError, match=reason):
        load(**changes)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("[]", "no OpenCLIP config"),
        ('{"embed_dim": 4, "vision_cfg": {}}', "no OpenCLIP config"),
        ('{"embed_dim": 4, "vision_cfg": {"depth": 3}, "text_cfg": {}}', "does not fit the model"),
    ],
)
def test_bad_configs(tmp_path, config, reason):
    path = tmp_path / "config.json"
    path.write_text(config)
    with pytest.raises(WeightsError, match=reason):
        load(model=path)


def test_hub_layout_of_a_config(tmp_path):
    path = tmp_path / "open_clip_config.json"
    path.write_text(f'{{"model_cfg": {(GOLDEN / "golden-small.json").read_text()}}}')
    assert load(model=path).backbone.width == 64


def test_an_entry_is_fetched_part_by_part(server, tmp_path, monkeypatch):
    """Talk2DINO: a URL with Git's checksum, the hub, and a file beside the entry."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    with np.load(GOLDEN / "talk2dino_expected.npz") as golden:
        path = write_talk2dino(tmp_path, golden)
    entry = json.loads(path.read_text())
    projection = tmp_path / "projection.pth"
    done = subprocess.run(["git", "hash-object", projection], capture_output=True, text=True)
    place = server.folder / "somebody" / "clip" / "resolve" / "main"
    place.mkdir(parents=True)
    (tmp_path / "clip.safetensors").rename(place / "open_clip_model.safetensors")
    projection.rename(server.folder / "projection.pth")
    source = {"url": f"{server.url}/projection.pth", "blob_id": done.stdout.strip()}
    entry["projection"] = [source]
    entry["text"] = [{"hub": "somebody/clip", "file": "open_clip_model.safetensors"}]
    path.write_text(json.dumps(entry))
    options = {"method": "talk2dino", "device": "cpu"}
    Segmenter(path, **options).set_prompts(["wooden floor"])
    assert server.requests == 2
    Segmenter(path, **options, offline=True).set_prompts(["wooden floor"])
    assert server.requests == 2, "all is in the cache"
    entry["projection"] = [source | {"blob_id": "0" * 40}]
    path.write_text(json.dumps(entry))
    with pytest.raises(WeightsError, match="damaged or another file"):
        Segmenter(path, **options)


def test_a_siglip_is_fetched_with_its_tokenizer(server, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers", reason="needs tokenizers: run pip install '.[siglip]'")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    place = server.folder / "somebody" / "siglip" / "resolve" / "main"
    place.mkdir(parents=True)
    with np.load(GOLDEN / "siglip_expected.npz") as golden:
        files = write_siglip(place, golden, tanh=False)
    files["model"].rename(tmp_path / "config.json")
    entry = {
        "name": "mine",
        "config": "config.json",
        "weights": [{"hub": "somebody/siglip", "file": "siglip.safetensors"}],
        "tokenizer": [{"hub": "somebody/siglip", "file": "tokenizer.json"}],
        "inference_size": 64,
    }
    (tmp_path / "entry.json").write_text(json.dumps(entry))
    segmenter = Segmenter(tmp_path / "entry.json", method="maskclip", device="cpu")
    segmenter.set_prompts(["wooden floor", "person"])
    assert segmenter.default_inference_size == 64 and server.requests == 2


def test_the_families_of_the_registry_have_the_hubs_names():
    places = {name: make().weights[0] for name, make in MODELS.items() if make().weights}
    assert places["siglip2-b-16"].hub_file[0] == "timm/ViT-B-16-SigLIP2-512"
    assert places["vit-l-14"].hub_file[0] == "laion/CLIP-ViT-L-14-laion2B-s32B-b82K"
    assert MODELS["vit-l-14"]().statistics == ((0.5,) * 3, (0.5,) * 3)
    assert places["talk2dino-b-14"].location.endswith("/dinov2_vitb14_reg4_pretrain.pth")
    assert len(MODELS["talk2dino-b-14"]().projection[0].blob_id) == 40
