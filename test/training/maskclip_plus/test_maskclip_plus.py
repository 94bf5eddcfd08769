# SPDX-License-Identifier: Apache-2.0
"""Training MaskCLIP+: labels and loss against loops, seeds, breaks, and the command."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from golden_data import GOLDEN_MODEL
from PIL import Image
from plus_files import DIM, network, vocabulary, write_plus

from dinoiser_ros.cli.main import main
from dinoiser_ros.errors import TrainingError
from dinoiser_ros.segmentation import Segmenter, WeightsError
from dinoiser_ros.segmentation.models.maskclip_plus_checkpoint import read_closed_set
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.segmentation.weights.checkpoint import read_checkpoint
from dinoiser_ros.training.common.image_folder import FolderBatches, Views
from dinoiser_ros.training.common.run_state import Checkpoint
from dinoiser_ros.training.maskclip_plus import trainer as plus_trainer
from dinoiser_ros.training.maskclip_plus.labelled_folder import (
    LabelledBatches,
    labelled_pictures,
    split,
)
from dinoiser_ros.training.maskclip_plus.options import PlusOptions
from dinoiser_ros.training.maskclip_plus.pretrained_backbone import load_pretrained_backbone
from dinoiser_ros.training.maskclip_plus.pseudo_labels import (
    IGNORED,
    own_labels,
    pseudo_label_loss,
    teacher_labels,
)
from dinoiser_ros.training.maskclip_plus.trainer import PlusSchedule, PlusTrainer

SCHEDULE = PlusSchedule(3, 2, lr=1e-3, threshold=0.4)


@pytest.fixture(autouse=True)
def _one_thread():
    """So small layers are only slowed down by several, and most on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def views(seed: int, size: int = 32) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (2, size, size, 3), np.uint8))


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# -- labels and loss -----------------------------------------------------------------------------


def test_the_teachers_labels_are_its_segmentation_without_what_is_unsure():
    teacher = Segmenter(
        **GOLDEN_MODEL, inference_size=0, method="maskclip", device="cpu", precision="float32"
    )
    teacher.set_prompts(["person", "wooden floor", "sky"])
    rgb = views(0, 48)
    sure = [teacher.segment(image) for image in rgb.numpy()]
    threshold = float(np.median([result.confidence for result in sure]))
    teacher.confidence_threshold = threshold
    labels = teacher_labels(teacher, rgb)
    assert labels.shape == (2, 48, 48) and labels.dtype == torch.int64
    for label, result in zip(labels.numpy(), sure, strict=True):
        unsure = result.confidence < np.float32(threshold)
        np.testing.assert_array_equal(label, np.where(unsure, IGNORED, result.labels.astype(int)))
    assert (labels == IGNORED).any() and (labels != IGNORED).any()


def test_the_networks_own_labels_are_those_that_it_would_give_in_use(tmp_path):
    plus = write_plus(tmp_path / "x.safetensors")
    segmenter = Segmenter(plus, method="maskclip+", device="cpu", inference_size=0)
    segmenter.set_prompts([])
    rgb = views(1)
    before = [segmenter.segment(image) for image in rgb.numpy()]
    threshold = float(np.median([result.confidence for result in before]))
    trained = EmbeddingNetwork("lraspp", "mobilenet_v3_large", DIM)
    trained.load_state_dict(network().state_dict())
    labels = own_labels(
        trained.train(), segmenter.vocabulary, rgb.permute(0, 3, 1, 2) / 255, threshold
    )
    assert trained.training and same(trained.state_dict(), network().state_dict())
    for label, result in zip(labels.numpy(), before, strict=True):
        wanted = np.where(
            result.confidence < np.float32(threshold), IGNORED, result.labels.astype(int)
        )
        assert (label == wanted).mean() > 0.99


def naive_loss(embeddings, classes, labels):
    """With loops over pixels, in double precision; labels on the embeddings' own grid."""
    texts, total, count = classes.embeddings.double(), 0.0, 0
    for b, y, x in np.ndindex(*labels.shape):
        if labels[b, y, x] == IGNORED:
            continue
        unit = embeddings[b, :, y, x].double()
        scores = 100 * texts @ (unit / unit.norm())
        logits = torch.stack([scores[classes.phrase_class == c].max() for c in range(3)])
        total += float(logits.logsumexp(0) - logits[labels[b, y, x]])
        count += 1
    return total / count


def test_the_loss_against_loops_and_without_ignored_pixels():
    classes, embeddings = vocabulary(), torch.randn(2, DIM, 3, 4)
    labels = torch.randint(0, 3, (2, 3, 4))
    labels[:, 1:, 2:] = IGNORED
    loss = pseudo_label_loss(embeddings, classes, labels)
    assert float(loss) == pytest.approx(naive_loss(embeddings, classes, labels), rel=1e-4)
    embeddings[:, :, 1:, 2:] = 7.0
    torch.testing.assert_close(pseudo_label_loss(embeddings, classes, labels), loss)
    finer = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    flat = embeddings[:, :, :1, :1].expand_as(embeddings)  # resizing changes nothing
    torch.testing.assert_close(
        pseudo_label_loss(flat, classes, finer), pseudo_label_loss(flat, classes, labels)
    )


def test_nothing_to_learn_from_is_no_loss():
    embeddings = torch.randn(1, DIM, 2, 2, requires_grad=True)
    loss = pseudo_label_loss(embeddings, vocabulary(), torch.full((1, 4, 4), IGNORED))
    loss.backward()
    assert loss.item() == 0 and not embeddings.grad.any()


# -- the steps -----------------------------------------------------------------------------------


def trained(head="lraspp", checkpoint=None, break_before=99, classes=None, schedule=SCHEDULE):
    """A network after the schedule, its classes' embeddings, the losses."""
    classes = classes or vocabulary()

    def batches_from(first):
        for step in range(first, schedule.total):
            if step == break_before:
                raise KeyboardInterrupt
            labels = torch.from_numpy(np.random.default_rng(step).integers(-1, 3, (2, 32, 32)))
            yield views(step), labels if step < schedule.steps else None

    torch.manual_seed(0)
    made = EmbeddingNetwork(head, "mobilenet_v3_large", DIM)
    torch.seed()  # what is drawn from now on is different every time
    losses = PlusTrainer(made, classes, schedule).train(batches_from, checkpoint)
    return made, losses


def test_text_is_a_frozen_classifier():
    classes = vocabulary()
    before = classes.embeddings.clone()
    made, losses = trained(classes=classes)
    assert torch.equal(classes.embeddings, before) and classes.embeddings.grad is None
    assert not classes.embeddings.requires_grad
    momenta = {m.momentum for m in made.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}, "torchvision's 0.01 is too slow for a short training"
    assert not made.training and not same(made.state_dict(), network().state_dict())
    assert len(losses) == SCHEDULE.total and losses[0][1] == pytest.approx(0.75, abs=0.05)


def test_a_broken_off_run_ends_where_an_unbroken_one_does(tmp_path):
    whole, losses = trained()
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {}, every=0)
    for step in (2, 4):  # in the teacher's phase, and in the network's own
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=checkpoint, break_before=step)
    parts, all_losses = trained(checkpoint=checkpoint)
    assert same(whole.state_dict(), parts.state_dict()) and losses == all_losses


def test_the_second_phase_is_labelled_by_the_network_that_the_first_one_ended_with(monkeypatch):
    """Labels of the network as it becomes would confirm themselves, until all is one class."""
    states = []

    def spy(network, *rest):
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return own_labels(network, *rest)

    monkeypatch.setattr(plus_trainer, "own_labels", spy)
    made, _ = trained(schedule=PlusSchedule(3, 3))
    monkeypatch.undo()
    assert len(states) == 3 and all(same(state, states[0]) for state in states)
    assert not same(states[0], made.state_dict())
    assert not same(states[0], network().state_dict())


def test_dropout_belongs_to_the_step():
    """DeepLabv3 has it; what was drawn before, as in a run that was not resumed, is no matter."""
    first, again = (
        trained("deeplabv3", schedule=PlusSchedule(1, 1))[0].state_dict() for _ in range(2)
    )
    assert same(first, again)


def test_the_learning_rate_falls_to_nothing():
    schedule = PlusSchedule(60, 40, lr=2.0)
    assert schedule.rate(0) == 2.0
    assert schedule.rate(50) == pytest.approx(2.0 * 0.5**0.9)
    assert 0 < schedule.rate(99) < 0.05


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for index in range(3):
        pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(tmp_path / "in" / f"{index}.png")
    return tmp_path


MODEL = [part for key, path in GOLDEN_MODEL.items() for part in (f"--{key}", str(path))]
PROMPTS = ["-p", "floor: wooden floor, carpet", "person", "sky"]


def train(folder, *more, output="plus.safetensors"):
    small = ["--head", "lraspp", "--size", "48", "--crop", "32", "--batch-size", "2"]
    steps = ["--steps", "2", "--self-training-steps", "1", "--threshold", "0.3"]
    machine = ["--workers", "0", "--device", "cpu", "--save-every", "0", "--precision", "float32"]
    files = [str(folder / "in"), "-o", str(folder / output)]
    arguments = [*files, *PROMPTS, *MODEL, *small, *steps, *machine, *more]
    return main(["train-maskclip-plus", *arguments]), folder / output


def content(path):
    return read_checkpoint(path)[0]


def test_a_checkpoint_is_trained_and_used(folder, capsys):
    status, path = train(folder, "--teacher-method", "maskclip-ks", "--seed", "4")
    assert status == 0 and f"--method maskclip+ --model {path}" in capsys.readouterr().out
    read = read_closed_set(path)
    assert read.inference_size == 48 and read.network.dim == 32
    made_with = read.training
    assert made_with["teacher"]["method"] == "maskclip-ks"
    assert made_with["teacher"]["confidence_threshold"] == 0.3
    assert made_with["seed"] == 4 and made_with["pictures"]["count"] == 3
    assert len(made_with["losses"]["loss"]) == len(made_with["losses"]["labelled"]) == 3
    segmenter = Segmenter(path, method="maskclip+", device="cpu")
    classes = segmenter.set_prompts([])
    assert [entry.name for entry in classes] == ["floor", "person", "sky"]
    assert segmenter.segment(np.zeros((32, 48, 3), np.uint8)).labels.shape == (32, 48)
    assert {path.name for path in folder.iterdir()} == {"in", "plus.safetensors"}
    golden = Segmenter(**GOLDEN_MODEL, inference_size=0, device="cpu", precision="float32")
    golden.set_prompts(PROMPTS[1:])
    torch.testing.assert_close(segmenter.vocabulary.embeddings, golden.vocabulary.embeddings)


def test_the_same_seed_gives_the_same_file_and_a_break_changes_nothing(folder, monkeypatch, capsys):
    whole = content(train(folder)[1])
    assert not same(content(train(folder, "--seed", "1", output="other.safetensors")[1]), whole)
    get, broken = FolderBatches.__getitem__, []

    def get_or_break(source, step):
        if step == 2 and not broken:
            broken.append(step)
            raise KeyboardInterrupt
        return get(source, step)

    monkeypatch.setattr(FolderBatches, "__getitem__", get_or_break)
    assert train(folder, output="parts.safetensors")[0] == 130
    assert capsys.readouterr().err.endswith("the same command goes on where this one ended.\n")
    assert train(folder, "--lr", "1", output="parts.safetensors")[0] == 1
    assert "run with another schedule" in capsys.readouterr().err
    assert same(content(train(folder, output="parts.safetensors")[1]), whole)


def test_a_closed_set_can_teach_another(folder):
    path = write_plus(folder / "teacher.safetensors", ["wooden floor", "carpet", "person"])
    model = ["--teacher-method", "maskclip+", "--model", str(path), "-p", "person"]
    assert train(folder, *model, "--precision", "bfloat16")[0] == 0
    classes = read_closed_set(folder / "plus.safetensors").text.trained.classes
    wanted = [("background", ("wooden floor", "carpet")), ("person", ("person",))]
    assert [(entry.name, entry.phrases) for entry in classes] == wanted


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--crop", "64"], "use a smaller crop"),
        (["-o", "plus.pt"], "use .safetensors"),
        (["--precision", "float16"], "use bfloat16 or float32"),
        (["--batch", "1"], "use 2 or more"),
        (["--backbone", "resnet50"], "There is no lraspp on resnet50: use one of deeplabv3 on"),
        (["--pretrained-backbone", "nothing.pth"], "nothing.pth does not exist"),
        (["--teacher-method", "maskclip+"], "which golden-small is not"),
        (["-p", "person", "person"], "given twice"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder, more, reason, capsys):
    assert train(folder, *more)[0] == 1
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and error.startswith("dinoiser: ")


def test_pretrained_backbones(tmp_path):
    from torchvision.models import mobilenet_v3_large

    classifier = mobilenet_v3_large(weights=None)
    torch.save(classifier.state_dict(), tmp_path / "imagenet.pth")
    made = EmbeddingNetwork("lraspp", "mobilenet_v3_large", DIM)
    load_pretrained_backbone(made, str(tmp_path / "imagenet.pth"), offline=True)
    wanted = list(classifier.features.state_dict().values())
    got = list(made.backbone.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
    torch.save({"layer1.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="does not fit"):
        load_pretrained_backbone(made, str(tmp_path / "other.pth"))


def test_options_are_checked_before_anything_is_done(tmp_path):
    with pytest.raises(TrainingError, match="does not fit"):
        PlusOptions(tmp_path, views=Views(32, 64)).check()
    PlusOptions(tmp_path).check()


# -- labels that were made before ------------------------------------------------------------------


@pytest.fixture
def labelled(folder):
    """The folder's pictures, labelled by `dinoiser segment`."""
    method = ["--method", "maskclip-ks", "--confidence-threshold", "0.3", "--inference-size", "48"]
    save = ["--save", "pseudo-labels", "-o", str(folder / "out"), "--device", "cpu"]
    inputs = ["segment", str(folder / "in"), *PROMPTS, *MODEL, *method, *save]
    assert main([*inputs, "--precision", "float32"]) == 0
    return folder / "out" / "dataset-pseudo-labels"


def train_on(labelled, *more):
    small = ["--head", "lraspp", "--size", "48", "--crop", "32", "--batch-size", "2"]
    steps = ["--steps", "2", "--self-training-steps", "1", "--threshold", "0.3"]
    machine = ["--workers", "0", "--device", "cpu", "--save-every", "0", "--precision", "float32"]
    path = labelled.parent / "plus.safetensors"
    arguments = [str(labelled), "-o", str(path), *small, *steps, *machine, *more]
    return main(["train-maskclip-plus", *arguments]), path


def test_views_of_labelled_pictures_have_the_labels_of_their_place(labelled):
    pictures, rng = labelled_pictures(labelled), np.random.default_rng(1)
    for path, most in zip(pictures, (255, 255, 65535), strict=True):
        ids = rng.choice([0, 1, 200, most], (48, 64)).astype(np.uint8 if most == 255 else np.uint16)
        Image.fromarray(ids).save(path.with_name(f"{path.stem}_labels.png"))
    source = LabelledBatches(pictures, Views(48, 32, brightness=0.0), 4, 0)
    rgb, labels = split(source[0])
    plain = FolderBatches(pictures, Views(48, 32, brightness=0.0), 4, 0)[0]
    assert torch.equal(rgb, plain), "labels change nothing of what is drawn"
    assert labels.shape == (4, 32, 32) and labels.dtype == torch.int64
    whole = {p: np.asarray(Image.open(p.with_name(f"{p.stem}_labels.png"))) for p in pictures}
    views = {p: np.asarray(Image.open(p)) for p in pictures}
    for view, ids in zip(rgb.numpy(), labels.numpy(), strict=True):
        places = [
            (path, x, y, step)
            for path in pictures
            for y in range(17)
            for x in range(33)
            for step in (1, -1)
            if np.array_equal(views[path][y : y + 32, x : x + 32][:, ::step], view)
        ]
        (path, x, y, step) = places[0]
        wanted = whole[path][y : y + 32, x : x + 32][:, ::step]
        unsure = wanted == np.iinfo(wanted.dtype).max
        np.testing.assert_array_equal(ids, np.where(unsure, IGNORED, wanted.astype(int)))
        assert unsure.any() and not unsure.all()


def test_a_network_is_trained_on_labels_without_the_teacher(labelled, monkeypatch, capsys):
    monkeypatch.setattr(
        "dinoiser_ros.training.train_maskclip_plus.teacher_labels",
        lambda *_: pytest.fail("the labels are known"),
    )
    status, path = train_on(labelled)
    assert status == 0, capsys.readouterr().err
    made_with = read_closed_set(path).training
    assert made_with["prompts"] == PROMPTS[1:] and made_with["pictures"]["count"] == 3
    assert made_with["labels"]["method"] == "maskclip-ks"
    assert made_with["labels"]["confidence_threshold"] == 0.3


def test_labelled_pictures_that_cannot_be_used_are_one_sentence(labelled, capsys):
    assert train_on(labelled, "-p", "person")[0] == 1
    assert "labelled with other prompts: leave --prompts out" in capsys.readouterr().err
    assert train_on(labelled, "--heads", "others.safetensors")[0] == 1
    assert re.search(r"labelled with --heads .*: leave --heads out", capsys.readouterr().err)
    (labelled / "1_labels.png").write_bytes(b"no picture")
    assert train_on(labelled)[0] == 1
    assert "1_labels.png cannot be read as a label map" in capsys.readouterr().err
    (labelled / "dinoiser.json").write_text('{"classes": []}')
    assert train_on(labelled)[0] == 1
    assert "is not of 'dinoiser segment --save pseudo-labels'" in capsys.readouterr().err
    (labelled / "dinoiser.json").unlink()
    assert train_on(labelled)[0] == 1
    assert "give --prompts" in capsys.readouterr().err
