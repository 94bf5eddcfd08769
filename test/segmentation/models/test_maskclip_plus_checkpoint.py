# SPDX-License-Identifier: Apache-2.0
"""`maskclip+` where it is used: its checkpoints, its prompts, the segmenter, the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_data import GOLDEN_MODEL
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ROOT
from PIL import Image
from plus_files import DIM, PROMPTS, network, vocabulary, write_plus
from safetensors import safe_open
from safetensors.torch import save_file

from dinoiser_ros.cli.main import main
from dinoiser_ros.segmentation import OptionError, PromptError, Segmenter, WeightsError
from dinoiser_ros.segmentation.models.maskclip_plus_checkpoint import read_closed_set
from dinoiser_ros.segmentation.networks.embedding_network import MEAN, STD, EmbeddingNetwork
from dinoiser_ros.segmentation.text.trained_phrases import TrainedText

PHRASES = ("wooden floor", "carpet", "person", "traffic cone")


def picture(height: int = 60, width: int = 90, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_plus(tmp_path_factory.mktemp("plus") / "robot.safetensors")


@pytest.fixture
def segmenter(checkpoint):
    return Segmenter(checkpoint, method="maskclip+", device="cpu", inference_size=0)


# -- the file ------------------------------------------------------------------------------------


def test_a_checkpoint_holds_what_was_saved(checkpoint):
    read = read_closed_set(checkpoint)
    wanted = network().state_dict()
    assert wanted.keys() == read.network.state_dict().keys()
    assert all(torch.equal(t, wanted[name]) for name, t in read.network.state_dict().items())
    trained = vocabulary()
    assert read.text.trained.classes == trained.classes
    torch.testing.assert_close(read.text.trained.embeddings, trained.embeddings)
    assert (read.inference_size, read.training) == (64, {"seed": 0})
    assert not read.network.training
    assert not any(parameter.requires_grad for parameter in read.network.parameters())


def rewritten(checkpoint, path, **changes):
    """A checkpoint with other tensors or metadata; None leaves one out."""
    with safe_open(checkpoint, "pt") as file:
        parts = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    for name, value in changes.items():
        group = parts if name in parts or isinstance(value, torch.Tensor) else metadata
        group.pop(name, None)
        if value is not None:
            group[name] = value
    save_file(parts, path, metadata=metadata)
    return path


SOME = "network.classifier.low_classifier.bias"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "something"}, "no checkpoint of maskclip"),
        ({"format": None}, "train-maskclip-plus"),
        ({"version": "2"}, "version 2 .* reads 1"),
        ({"prompts": None}, "no readable prompts"),
        ({"prompts": "[1]"}, "bad prompts"),
        ({"prompts": '["person", "PERSON"]'}, "bad prompts .*twice"),
        ({"prompts": '["person", "floor"]'}, "4 text embeddings for 2 phrases"),
        ({"training": "{"}, "no readable training"),
        ({"mean": "[0.5, 0.5]"}, "mean and std"),
        ({"std": '["a", 1, 1]'}, "mean and std"),
        ({"inference_size": '"big"'}, "no readable inference_size"),
        ({"head": "unet"}, "There is no unet on mobilenet_v3_large"),
        ({"backbone": None}, "There is no lraspp on None"),
        ({"backbone": "resnet50"}, "There is no lraspp on resnet50"),
        ({"head": "deeplabv3"}, "does not fit the model's architecture"),
        ({"text": None}, "lacks the text embeddings"),
        ({"text": torch.ones(4, 8)}, "other shape: classifier"),
        ({SOME: None}, "missing: classifier.low_classifier.bias"),
        ({SOME: torch.zeros(3)}, "other shape: classifier.low_classifier.bias"),
        ({"network.more": torch.zeros(3)}, "unknown: more"),
        ({"more": torch.zeros(3)}, "holds more"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(checkpoint, tmp_path, changes, reason):
    path = rewritten(checkpoint, tmp_path / "bad.safetensors", **changes)
    with pytest.raises(WeightsError, match=reason) as error:
        Segmenter(path, method="maskclip+", device="cpu")
    assert "\n" not in str(error.value)


def test_a_damaged_file_and_one_of_heads(checkpoint, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(checkpoint.read_bytes()[:-10])
    for path, reason in ((broken, "cannot be read"), (GOLDEN_MODEL["heads"], "no checkpoint")):
        with pytest.raises(WeightsError, match=reason):
            Segmenter(path, method="maskclip+", device="cpu")


# -- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("head", "cell"), [("lraspp", 8), ("deeplabv3", 16)])
def test_the_network_is_torchvisions(head, cell):
    """With torchvision's own classifier and upsampling around it."""
    from torchvision.models import segmentation as torchvision

    whole = getattr(torchvision, f"{head}_mobilenet_v3_large")(
        weights=None, weights_backbone=None, num_classes=DIM
    )
    whole.load_state_dict(network(head).state_dict())
    images = torch.rand(1, 3, 64, 96)
    mean, std = torch.tensor([MEAN, STD])[..., None, None]
    with torch.no_grad():
        coarse = network(head)(images)
        wanted = whole.eval()((images - mean) / std)["out"]
    assert coarse.shape == (1, DIM, 64 // cell, 96 // cell)
    got = F.interpolate(coarse, (64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_resnets_are_networks_too():
    made = EmbeddingNetwork("deeplabv3", "resnet50", DIM).eval()
    with torch.no_grad():
        assert made(torch.rand(1, 3, 32, 48)).shape == (1, DIM, 4, 6)


# -- prompts -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_any_grouping_of_trained_phrases_keeps_their_embeddings(data):
    chosen = data.draw(st.lists(st.sampled_from(PHRASES), min_size=2, unique=True))
    groups = [data.draw(st.integers(0, 2)) for _ in chosen]
    prompts = []
    for group in dict.fromkeys(groups):
        phrases = [p for p, g in zip(chosen, groups, strict=True) if g == group]
        prompts.append(f"class {group}: {', '.join(p.upper() for p in phrases)}")
    if len(prompts) == 1:
        prompts.append(next((p for p in PHRASES if p not in chosen), "background"))
        if prompts[1] == "background":
            return  # nothing is left for it
    got, trained = TrainedText(vocabulary()).vocabulary(prompts), vocabulary()
    assert [entry.id for entry in got.classes] == list(range(len(prompts)))
    phrases = [phrase for entry in got.classes for phrase in entry.phrases]
    rows = [PHRASES.index(phrase) for phrase in phrases]
    assert torch.equal(got.embeddings, trained.embeddings[rows])
    owners = [entry.id for entry in got.classes for _ in entry.phrases]
    assert got.phrase_class.tolist() == owners


def phrases_of(prompts):
    return [entry.phrases for entry in TrainedText(vocabulary()).vocabulary(prompts).classes]


def test_all_trained_classes_are_set_from_the_start(segmenter):
    assert segmenter.vocabulary.prompts == PROMPTS
    segmenter.set_prompts(["person", "carpet"])
    assert [entry.name for entry in segmenter.set_prompts([])] == [
        entry.name for entry in segmenter.trained.classes
    ]


def test_names_of_trained_classes_and_the_rest():
    text = TrainedText(vocabulary())
    assert text.vocabulary([]) is text.trained
    assert phrases_of(["person", "floor"]) == [("person",), ("wooden floor", "carpet")]
    assert phrases_of(["obstacle: person, traffic cone", "Carpet"])[1] == ("carpet",)
    rest = ("wooden floor", "carpet", "traffic cone")
    assert phrases_of(["person"]) == [rest, ("person",)], "background, as it was not trained"
    assert phrases_of(["person", "background"]) == [("person",), rest]


def test_a_trained_background_is_a_class_like_any_other():
    text = TrainedText(vocabulary(["background", "person", "door"]))
    classes = text.vocabulary(["person"]).classes
    assert [entry.phrases for entry in classes] == [("background",), ("person",)]


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        (["person", "cat"], "'cat' was not trained: this checkpoint knows only: wooden floor"),
        (["person", "things: carpet, spilled coffee"], "'spilled coffee' was not trained"),
        (["floor", "carpet"], "'carpet' is asked for twice"),
        (["floor", "person", "traffic cone", "background"], "ask for all"),
        (["person", "person"], "twice"),
        ("person", "list of texts"),
        ("", "list of texts"),
    ],
)
def test_other_prompts_are_refused_and_those_before_stay(segmenter, prompts, reason):
    before = segmenter.classes
    for call in (segmenter.set_prompts, segmenter.check_prompts):
        with pytest.raises(PromptError, match=reason):
            call(prompts)
    assert segmenter.classes == before


def test_a_long_list_is_shortened():
    text = TrainedText(vocabulary([f"thing {i}" for i in range(20)]))
    with pytest.raises(PromptError, match="thing 11 and 8 more;"):
        text.check(["cat", "dog"])


# -- the segmenter -------------------------------------------------------------------------------


def naive_probabilities(image: np.ndarray, owners: list[int], rows: list[int]) -> np.ndarray:
    """Cosines with each text, the best of each class, softmax at temperature 100: with loops."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        dense = network()(pixels)[0].double().numpy()
    texts = vocabulary().embeddings.double().numpy()
    result = np.zeros((max(owners) + 1, *dense.shape[1:]))
    for y, x in np.ndindex(*dense.shape[1:]):
        unit = dense[:, y, x] / np.linalg.norm(dense[:, y, x])
        logits = np.full(len(result), -np.inf)
        for owner, row in zip(owners, rows, strict=True):
            logits[owner] = max(logits[owner], 100 * unit @ texts[row])
        powers = np.exp(logits - logits.max())
        result[:, y, x] = powers / powers.sum()
    return result


def test_probabilities_against_loops(segmenter):
    image = picture(48, 64)
    got = segmenter.probabilities(image)
    np.testing.assert_allclose(got, naive_probabilities(image, [0, 0, 1, 2], range(4)), atol=1e-4)
    segmenter.set_prompts(["traffic cone", "person"])
    got = segmenter.probabilities(image)
    np.testing.assert_allclose(got, naive_probabilities(image, [0, 1], [3, 2]), atol=1e-4)


def test_labels_are_the_probabilities_made_larger(segmenter):
    image = picture(61, 83)
    coarse = torch.from_numpy(segmenter.probabilities(image))[None]
    confidence, labels = F.interpolate(coarse, (61, 83), mode="bilinear").max(dim=1)
    result = segmenter.segment(image)
    np.testing.assert_allclose(result.confidence, confidence[0], atol=1e-4)
    assert (result.labels == labels[0].numpy()).mean() > 0.999
    assert (result.labels.dtype, result.labels.shape) == (np.uint8, (61, 83))
    assert [entry.name for entry in result.classes] == ["floor", "person", "traffic cone"]


def test_options_that_apply_and_options_that_do_not(segmenter):
    image, before = picture(), segmenter.segment(picture())
    segmenter.set_options(
        gamma=0.5, delta=0.1, background_filter="on", background_source="found", pd_threshold=0.9,
    )  # fmt: skip
    np.testing.assert_array_equal(segmenter.segment(image).labels, before.labels)
    segmenter.confidence_threshold = float(np.median(before.confidence))
    unsure = before.confidence < segmenter.confidence_threshold
    assert (segmenter.segment(image).labels[unsure] == 255).all() and unsure.any()
    segmenter.set_options(confidence_threshold=0.0, inference_size=32)
    assert segmenter.segment(image).labels.shape == (60, 90)
    assert segmenter.segment_batch([image, picture(33, 40)])[1].labels.shape == (33, 40)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (3, 7)])
def test_odd_sizes(segmenter, size):
    assert segmenter.segment(picture(*size)).labels.shape == size


def test_what_it_is(segmenter, golden):
    assert (segmenter.model_name, segmenter.method) == ("robot", "maskclip+")
    assert (segmenter.device.type, segmenter.precision) == ("cpu", "float32")
    assert segmenter.default_inference_size == 64
    assert segmenter.backbone is None and segmenter.heads is None
    assert segmenter.trained.prompts == PROMPTS and golden.trained is None


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_agrees(checkpoint, segmenter, precision):
    low = Segmenter(checkpoint, method="maskclip+", device="cpu", precision=precision)
    assert low.precision == precision
    image = picture(16, 24)
    difference = np.abs(low.probabilities(image) - segmenter.probabilities(image))
    assert np.median(difference) < 0.05


def test_no_clip_is_loaded(checkpoint, monkeypatch):
    monkeypatch.setattr("dinoiser_ros.segmentation.models.loading.build_clip", None)
    made = Segmenter(str(checkpoint), method="maskclip+", device="cpu", offline=True)
    made.set_prompts(["person", "floor"])
    made.segment(picture())


def test_models_of_the_two_kinds_do_not_mix(segmenter, checkpoint, golden):
    before = segmenter.options
    for method in ("maskclip", "dinoiser", "cliper"):
        with pytest.raises(OptionError, match=f"'{method}' needs a CLIP.*another `model`"):
            segmenter.method = method
    assert segmenter.options is before
    with pytest.raises(OptionError, match="train-maskclip-plus.*another `model`"):
        golden.method = "maskclip+"
    with pytest.raises(WeightsError, match="without a CLIP: use the method 'maskclip\\+'"):
        Segmenter(checkpoint, device="cpu")
    with pytest.raises(WeightsError, match="which golden-small is not"):
        Segmenter(**GOLDEN_MODEL, inference_size=0, method="maskclip+")
    with pytest.raises(WeightsError, match=r"or of a checkpoint of maskclip\+"):
        Segmenter("nowhere.safetensors", method="maskclip+")


# -- commands ------------------------------------------------------------------------------------


def test_segmenting_on_the_command_line(checkpoint, segmenter, tmp_path, capsys):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    model = ["--method", "maskclip+", "--model", str(checkpoint)]
    arguments = ["segment", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), *model]
    assert main(arguments) == 0
    segmenter.inference_size = 64
    labels = np.asarray(Image.open(tmp_path / "out" / "a_labels.png"))
    np.testing.assert_array_equal(labels, segmenter.segment(picture()).labels)
    assert main([*arguments, "-p", "cat", "dog"]) == 1
    assert "this checkpoint knows only: wooden floor" in capsys.readouterr().err
    assert main(["download", *model]) == 0
    assert "robot is here" in capsys.readouterr().out


def test_evaluating_on_the_command_line(tmp_path, monkeypatch):
    """The benchmark's names are prompts: the checkpoint has to know them."""
    from dinoiser_ros.sim.classes import CLASSES

    monkeypatch.chdir(ROOT)  # where the held-out frames are looked for
    path = write_plus(tmp_path / "sim.safetensors", CLASSES)
    output = str(tmp_path / "results.json")
    model = ["--methods", "maskclip+", "--model", str(path), "--device", "cpu"]
    assert main(["evaluate", "sim", "sim-background", *model, "--limit", "2", "-o", output]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["model"] == "sim" and len(results["backbone"]) == 16
    assert results["benchmarks"]["sim"]["maskclip+"]["pictures"] == 2


def test_windows_of_an_evaluation_are_divided_by_the_grid(segmenter):
    from dinoiser_ros.evaluation.sliding_window import window_average

    image = picture(61, 83)

    def probabilities(window):
        return torch.from_numpy(segmenter.probabilities(window))

    average = window_average(image, probabilities, 1)
    coarse = torch.from_numpy(segmenter.probabilities(image))[None]
    wanted = F.interpolate(coarse, (61, 83), mode="bilinear")[0]
    torch.testing.assert_close(average, wanted, atol=1e-5, rtol=1e-4)
