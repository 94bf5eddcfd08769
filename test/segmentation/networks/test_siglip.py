# SPDX-License-Identifier: Apache-2.0
"""SigLIP and SigLIP 2 against OpenCLIP, timm and transformers (native and other sizes)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from paths import GOLDEN
from siglip_files import siglip_config, siglip_state, write_siglip, write_tokenizer

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.models.building import read_config
from dinoiser_ros.segmentation.networks.clip_backbone import Request
from dinoiser_ros.segmentation.networks.siglip.config import is_siglip, own_name, sizes
from dinoiser_ros.segmentation.networks.siglip.towers import SiglipModel
from dinoiser_ros.segmentation.pixels.preprocess import to_batch

pytest.importorskip("tokenizers", reason="needs tokenizers: run pip install '.[siglip]'")

KINDS = ("siglip", "siglip2")
PROMPTS = ["wooden floor", "person", "traffic cone"]
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=KINDS)
def golden(request) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{request.param}_expected.npz") as arrays:
        return {**arrays, "kind": request.param}


@pytest.fixture(scope="module")
def segmenter(golden, tmp_path_factory) -> Segmenter:
    files = write_siglip(tmp_path_factory.mktemp("files"), golden, golden["kind"] == "siglip2")
    made = Segmenter(
        **files, method="maskclip", inference_size=0, device="cpu", precision="float32"
    )
    made.set_prompts(PROMPTS)
    return made


def with_texts(segmenter: Segmenter, texts: np.ndarray) -> None:
    """Prompts with the embeddings of the golden data."""
    embeddings = torch.nn.functional.normalize(torch.from_numpy(texts), dim=-1)
    vocabulary = segmenter.embed_prompts(["wooden floor", "person", "wall", "chair"])
    object.__setattr__(vocabulary, "embeddings", embeddings)
    segmenter.use(vocabulary)


@pytest.mark.parametrize("image", ["square", "wide"])
def test_features_and_scores(golden, segmenter, image):
    picture = golden[f"{image}.image_u8"]
    dense = segmenter.backbone(to_batch([picture], picture.shape[:2], segmenter.device))
    np.testing.assert_allclose(
        dense.features[0].numpy(), golden[f"{image}.features"], atol=TOLERANCE
    )
    with_texts(segmenter, golden["text"])
    found = segmenter.probabilities(picture)
    np.testing.assert_allclose(found, golden[f"{image}.probabilities"], atol=TOLERANCE)


def test_the_head_as_a_whole(golden, segmenter):
    """With its own query's attention, the parts of the head give the image's embedding."""
    picture = golden["square.image_u8"]
    batch = to_batch([picture], picture.shape[:2], segmenter.device)
    dense = segmenter.backbone(batch, Request(keys=True, layers=True))
    head = segmenter.backbone.visual.attn_pool
    query = head.q(head.latent).unflatten(-1, (head.heads, -1)).transpose(1, 2)
    keys = dense.keys.unflatten(-1, (head.heads, -1)).transpose(1, 2)
    weights = (query * query.shape[-1] ** -0.5 @ keys.transpose(-1, -2)).softmax(dim=-1)
    pooled = segmenter.backbone.attend_last(dense.layers[-1], weights)[0]
    np.testing.assert_allclose(pooled.detach().numpy(), golden["square.pooled"], atol=TOLERANCE)


def test_texts(golden):
    model = SiglipModel(sizes(siglip_config(golden["kind"] == "siglip2"))).eval()
    state = {own_name(name): tensor for name, tensor in siglip_state(golden).items()}
    model.load_state_dict(state)
    with torch.no_grad():
        found = model.encode_text(torch.from_numpy(golden["tokens"].astype(np.int64)))
    np.testing.assert_allclose(found.numpy(), golden["text"], atol=TOLERANCE)


@pytest.mark.parametrize("method", ["maskclip-ks", "maskclip-pd", "dinoiser-keys", "cliper"])
def test_other_methods(segmenter, method):
    segmenter.set_options(method=method, background_filter="off")
    segmenter.set_prompts(PROMPTS)
    found = segmenter.probabilities(np.full((50, 70, 3), 90, np.uint8))
    assert found.shape == (3, 4, 5) and (found >= 0).all() and (found <= 1).all()
    segmenter.set_options(method="maskclip", background_filter="auto")


def test_key_smoothing_changes_no_label_by_its_scale(golden, segmenter):
    """The labels are those of (k k^T) p, whatever it is divided by."""
    picture = golden["wide.image_u8"]
    with_texts(segmenter, golden["text"])
    plain = segmenter.probabilities(picture)
    segmenter.set_options(method="maskclip-ks")
    found = segmenter.probabilities(picture)
    segmenter.set_options(method="maskclip")
    batch = to_batch([picture], picture.shape[:2], segmenter.device)
    keys = segmenter.backbone(batch, Request(keys=True)).keys[0]
    unit = torch.nn.functional.normalize(keys, dim=-1)
    wanted = (unit @ unit.T).numpy() @ plain.reshape(4, -1).T
    assert (found.reshape(4, -1).argmax(axis=0) == wanted.argmax(axis=1)).all()
    assert found.max() <= plain.max() + 1e-6


def test_bfloat16_gives_the_same_up_to_rounding(golden, tmp_path):
    files = write_siglip(tmp_path, golden, golden["kind"] == "siglip2")
    low = Segmenter(
        **files, method="maskclip", inference_size=0, device="cpu", precision="bfloat16"
    )
    with_texts(low, golden["text"])
    found = low.probabilities(golden["wide.image_u8"])
    np.testing.assert_allclose(found, golden["wide.probabilities"], atol=0.03)


def test_pytorch_files_are_read_as_well(golden, segmenter, tmp_path):
    files = write_siglip(tmp_path, golden, golden["kind"] == "siglip2", ".pt")
    other = Segmenter(**files, method="maskclip", inference_size=0, device="cpu")
    other.set_prompts(PROMPTS)
    segmenter.set_prompts(PROMPTS)
    picture = golden["square.image_u8"]
    np.testing.assert_array_equal(other.probabilities(picture), segmenter.probabilities(picture))


def test_the_tokenizer_is_looked_for_beside_the_weights(golden, tmp_path):
    files = write_siglip(tmp_path, golden, golden["kind"] == "siglip2")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"needs its tokenizer: put tokenizer\.json beside"):
        Segmenter(**files, method="maskclip", device="cpu")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match="cannot be read as a tokenizer"):
        Segmenter(**files, method="maskclip", device="cpu")


def test_ends_and_padding(tmp_path):
    from dinoiser_ros.segmentation.text.siglip_tokenizer import SiglipTokenizer

    first = SiglipTokenizer(write_tokenizer(tmp_path / "first.json"), 5)
    second = SiglipTokenizer(write_tokenizer(tmp_path / "second.json", "<eos>"), 5)
    assert first(["A photo, of_the"]).tolist() == [[3, 4, 5, 6, 1]]
    assert first(["a"]).tolist() == [[3, 1, 1, 1, 1]]
    assert second(["a"]).tolist() == [[3, 1, 0, 0, 0]]
    assert first(["a a a a a a a"]).tolist() == [[3, 3, 3, 3, 1]], "the end is kept"


@pytest.mark.parametrize("change", ["missing", "shape", "nan", "zeros"])
def test_bad_weights_are_refused(golden, tmp_path, change):
    files = write_siglip(tmp_path, golden, golden["kind"] == "siglip2", ".pt")
    state = torch.load(files["weights"], weights_only=True)
    name = "visual.trunk.attn_pool.kv.weight"
    if change == "missing":
        del state[name]
    elif change == "shape":
        state[name] = state[name][:-1].clone()
    else:
        state[name] = torch.full_like(state[name], torch.nan if change == "nan" else 0.0)
    torch.save(state, files["weights"])
    with pytest.raises(WeightsError, match="does not fit|not finite|nothing but zeros"):
        Segmenter(**files, method="maskclip", device="cpu")


@pytest.mark.parametrize("name", ["ViT-B-16-SigLIP", "ViT-B-16-SigLIP2-512", "ViT-L-16-SigLIP-256"])
def test_configs_of_open_clip(name):
    config = read_config(name)
    assert is_siglip(config) and config["vision_cfg"]["layers"] in (12, 24)
    # timm's network has the exact GELU for both; OpenCLIP's text tower follows the config.
    wanted = "tanh" if "SigLIP2" in name else "none"
    assert config["vision_cfg"]["approximate"] == "none"
    assert config["text_cfg"]["approximate"] == wanted


@pytest.mark.parametrize("value", [{"width": "wide"}, {"layers": 10**9}, {"width": -48}])
def test_bad_configs_are_refused(golden, tmp_path, value):
    files = write_siglip(tmp_path, golden, golden["kind"] == "siglip2")
    config = json.loads(files["model"].read_text())
    config["vision_cfg"] |= value
    files["model"].write_text(json.dumps(config))
    with pytest.raises(WeightsError):
        Segmenter(**files, method="maskclip", device="cpu")
