# SPDX-License-Identifier: Apache-2.0
"""Talk2DINO against its authors' code and DINOv2's, with seeded weights."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_data import golden_arrays
from recorded_graph import record
from talk2dino_files import CPU, PROMPTS, near, write_talk2dino

from dinoiser_ros.errors import NotFiniteError, OptionError, PromptError, WeightsError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference.cuda_graph_cache import Replays
from dinoiser_ros.segmentation.methods.talk2dino import BACKGROUND
from dinoiser_ros.segmentation.networks.clip_backbone import Request
from dinoiser_ros.segmentation.networks.dinov2.backbone import _smoothed
from dinoiser_ros.segmentation.pixels.preprocess import to_batch

IMAGES = ("square", "wide", "large")


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return golden_arrays("talk2dino")


@pytest.fixture(scope="module")
def model(golden, tmp_path_factory) -> Path:
    return write_talk2dino(tmp_path_factory.mktemp("files"), golden)


@pytest.fixture(scope="module")
def segmenter(model) -> Segmenter:
    return Segmenter(model, method="talk2dino", **CPU)


def test_texts(golden, segmenter):
    segmenter.set_prompts(PROMPTS)
    near(segmenter.vocabulary.embeddings.numpy(), golden["text"])


@pytest.mark.parametrize("image", IMAGES)
def test_features_and_attention(golden, segmenter, image):
    picture = golden[f"{image}.image_u8"]
    batch = to_batch([picture], picture.shape[:2], segmenter.device)
    dense = segmenter.backbone(batch, Request(intermediate=False, cls_scores=True))
    near(dense.features[0].numpy(), golden[f"{image}.features"])
    near(dense.cls_scores[0].numpy(), golden[f"{image}.cls_scores"])


@pytest.mark.parametrize("image", IMAGES)
def test_scores(golden, segmenter, image):
    segmenter.set_prompts(PROMPTS)
    near(segmenter.probabilities(golden[f"{image}.image_u8"]), golden[f"{image}.scores"])


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_background_cleaning(golden, segmenter, image, place):
    """The class for the background has a constant score, wherever it stands in the list."""
    segmenter.set_prompts([*PROMPTS[:place], "background", *PROMPTS[place:]])
    found = segmenter.probabilities(golden[f"{image}.image_u8"])
    near(found[place], np.full(found.shape[1:], BACKGROUND, np.float32))
    near(np.delete(found, place, axis=0), golden[f"{image}.cleaned"])


def test_a_batch_gives_what_single_images_give(golden, segmenter):
    segmenter.set_prompts(["background", *PROMPTS])
    image = golden["wide.image_u8"]
    images = [image, image[:, ::-1].copy(), image[::-1].copy()]
    for one, result in zip(images, segmenter.segment_batch(images), strict=True):
        np.testing.assert_allclose(segmenter.segment(one).confidence, result.confidence, atol=1e-5)


def test_background_is_a_text_like_others_without_the_filter(golden, segmenter):
    segmenter.set_prompts(["background", *PROMPTS])
    segmenter.background_filter = "off"
    found = segmenter.probabilities(golden["square.image_u8"])
    segmenter.background_filter = "auto"
    near(found[1:], golden["square.scores"])
    assert found[0].std() > 0


def test_delta_is_the_score_of_the_background(golden, segmenter):
    segmenter.set_prompts(["background", *PROMPTS])
    segmenter.delta = 0.1
    labels = segmenter.segment(golden["square.image_u8"]).labels
    segmenter.delta = None
    assert not (labels == 0).any()
    assert (segmenter.segment(golden["square.image_u8"]).labels == 0).all(), "scores are below 0.55"


def test_a_class_of_phrases_scores_as_the_best(golden, segmenter):
    segmenter.set_prompts(["thing: person, traffic cone", "wooden floor"])
    found = segmenter.probabilities(golden["square.image_u8"])
    near(found[0], golden["square.scores"][1:].max(axis=0))


def test_a_class_can_be_taught(golden, model):
    """At the place of its example it scores higher than a class that was taught elsewhere."""
    own = Segmenter(model, method="talk2dino", **CPU)
    picture, patch = golden["large.image_u8"], own.backbone.patch_size
    places = {"one": (0, 0), "other": (5, 4)}
    for name, (row, column) in places.items():
        own.teach(name, picture, [((column + 0.5) * patch, (row + 0.5) * patch)])
    own.set_prompts([*PROMPTS, "@one", "@other"])
    found = dict(zip(places, own.probabilities(picture)[3:], strict=True))
    assert found["one"][places["one"]] > found["other"][places["one"]] + 0.005
    assert found["other"][places["other"]] > found["one"][places["other"]] + 0.005


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_refused(golden, segmenter, background, value):
    """Also where the background's score is a constant."""
    spoilt = copy.copy(segmenter)
    spoilt._parts = copy.deepcopy(segmenter.parts)
    spoilt.set_prompts(["background", *PROMPTS] if background else PROMPTS)
    with torch.no_grad():
        spoilt.backbone.visual.conv1.weight.view(-1)[0] = value
    with pytest.raises(NotFiniteError):
        spoilt.segment(golden["square.image_u8"])


def test_frames_are_replayed_as_cuda_graphs_are(golden, segmenter):
    """Two vocabularies in turns, through a recording of operators in the place of a graph."""
    image, replayed = golden["wide.image_u8"], copy.copy(segmenter)
    replayed._replays = Replays(torch.device("cpu"), record)
    for prompts in (PROMPTS, ["background", *PROMPTS]):
        for other in (segmenter, replayed):
            other.set_prompts(prompts)
        for _ in range(3):
            wanted, found = segmenter.segment(image), replayed.segment(image)
            assert (wanted.labels == found.labels).mean() > 0.999
            np.testing.assert_allclose(wanted.confidence, found.confidence, atol=0.6 / 255)


def test_bfloat16_gives_the_same_up_to_rounding(golden, model):
    low = Segmenter(model, method="talk2dino", **{**CPU, "precision": "bfloat16"})
    low.set_prompts(PROMPTS)
    found = low.probabilities(golden["large.image_u8"])
    np.testing.assert_allclose(found, golden["large.scores"], atol=5e-3)


@pytest.mark.parametrize("method", ["dinoiser", "maskclip", "maskclip-ks", "cliper"])
def test_methods_of_clip_are_refused(model, segmenter, method):
    with pytest.raises(WeightsError, match="no CLIP: use the method 'talk2dino'"):
        Segmenter(model, method=method, **CPU)
    with pytest.raises(OptionError, match="needs a CLIP"):
        segmenter.set_options(method=method, background_filter="off")


def test_a_clip_is_refused_by_the_method():
    with pytest.raises(WeightsError, match="needs a model of Talk2DINO"):
        Segmenter("demo", method="talk2dino", device="cpu")
    with pytest.raises(OptionError, match="needs a model of Talk2DINO"):
        Segmenter("demo", device="cpu").set_options(method="talk2dino")


def test_the_layout_of_timm(golden, model, segmenter, tmp_path):
    """It has CLS's position added to CLS, other names, and comes as safetensors."""
    state = torch.load(model.with_name("dinov2.pth"), weights_only=True)
    positions = state.pop("pos_embed")
    state["reg_token"] = state.pop("register_tokens")
    state["cls_token"] = state["cls_token"] + positions[:, :1]
    state["pos_embed"] = positions[:, 1:].contiguous()
    del state["mask_token"]
    from safetensors.torch import save_file

    save_file(state, tmp_path / "timm.safetensors")
    other = Segmenter(model, weights=tmp_path / "timm.safetensors", method="talk2dino", **CPU)
    other.set_prompts(PROMPTS)
    near(other.probabilities(golden["wide.image_u8"]), golden["wide.scores"])


@pytest.mark.parametrize("file", ["dinov2.pth", "projection.pth", "clip.safetensors"])
@pytest.mark.parametrize("change", ["missing", "shape", "nan"])
def test_bad_files_are_refused(golden, tmp_path, file, change):
    from safetensors.torch import load_file, save_file

    model = write_talk2dino(tmp_path, golden)
    path, stored = tmp_path / file, file.endswith(".safetensors")
    state = load_file(path) if stored else torch.load(path, weights_only=True)
    name = {
        "dinov2.pth": "blocks.1.attn.qkv.weight",
        "projection.pth": "linear_layer.weight",
        "clip.safetensors": "text_projection",
    }[file]
    if change == "missing":
        del state[name]
    elif change == "shape":
        state[name] = state[name][:-1].clone()
    else:
        state[name] = torch.full_like(state[name], torch.nan)
    save_file(state, path) if stored else torch.save(state, path)
    with pytest.raises(
        (WeightsError, PromptError), match="lack|not fit|no DINOv2|finite|maps texts"
    ):
        # Text towers are read when a phrase is first embedded.
        Segmenter(model, method="talk2dino", **CPU).set_prompts(["a phrase of no cache"])


def test_entries_with_mistakes_are_refused(model, tmp_path):
    entry = json.loads(model.read_text())
    for change, said in (
        ({"nmae": "x"}, "unknown field 'nmae'"),
        ({"name": 3}, "has no name"),
        ({"weights": [{"pth": "x"}]}, "is no source"),
        ({"inference_size": "big"}, "another kind"),
        ({"mean": [0.5, 0.5]}, "another kind"),
        ({"text_config": "nowhere.json"}, "cannot be read as JSON"),
        ({"text": [{"path": "nowhere.pt"}]}, "does not exist"),
    ):
        path = model.with_name("changed.json")
        path.write_text(json.dumps(entry | change))
        with pytest.raises(WeightsError, match=said):
            Segmenter(path, method="talk2dino", **CPU)


@pytest.mark.parametrize("sizes", [(37, 32), (37, 43), (5, 2), (16, 64)])
def test_positions_are_resized_as_by_pytorch(sizes):
    old, new = sizes
    table = torch.rand(old, 3, 4)
    square = table.permute(2, 0, 1)[None]
    wanted = F.interpolate(square, size=(new, 3), mode="bicubic", antialias=True)[0]
    torch.testing.assert_close(_smoothed(table, new), wanted.permute(1, 2, 0), atol=1e-5, rtol=0)
