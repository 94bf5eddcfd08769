# SPDX-License-Identifier: Apache-2.0
"""Builds the tests of whether a picture is of the simulated world, for the embedded models.

Run ``python -m dinoiser_ros.training.familiarity.build`` after the models are built.

Familiar are frames of the training split and of drives through other rooms, as they are and
corrupted. Strange are pictures drawn by chance (`other_pictures`) and, if a folder of photographs
is given, these. Each test is a linear classifier by least squares; its threshold lets 1 % of the
familiar pictures through as strange. No held-out frame is looked at.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dinoiser_ros.evaluation.datasets.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from dinoiser_ros.pictures.decode import read_picture
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference.familiarity import FamiliarityTest
from dinoiser_ros.sim.drive import SimulatedRobot
from dinoiser_ros.training.common.image_folder import find_pictures
from dinoiser_ros.training.demo.frame_store import HEIGHT, Split, open_split, render_split
from dinoiser_ros.training.demo.splits import demo_splits
from dinoiser_ros.utils.number_types import count

from .other_pictures import other_picture

_SCENES, _FRAMES_OF_A_SCENE = 30, 4  # of the training split's seeds
_DRIVES = ((320, 240, 8), (640, 480, 4))  # width, height and number of rooms
_FRAMES_OF_A_DRIVE, _STEP = 6, 7  # and steps from one frame to the next
_OTHERS = 200  # pictures drawn by chance
_RIDGE = 0.3
_FOLDS = 4
_FALSE_ALARMS = 0.01
# Resolved: an installed package may consist of links to its sources.
_MODELS = Path(__file__).resolve().parents[2] / "segmentation" / "models" / "data"


def familiar_pictures(seed: int, work: Path) -> Iterator[np.ndarray]:
    """Frames of the simulated world, each followed by a corrupted copy."""
    base = demo_splits(seed)["train"].first_seed
    split = Split("familiarity", base, _SCENES, _FRAMES_OF_A_SCENE)
    render_split(split, work / "frames" / split.name)
    clean = [np.array(rgb) for rgb in open_split(split, work / "frames" / split.name).rgb]
    drives = [
        (base + 5_000_000 + width * 100 + room, width, height)
        for width, height, rooms in _DRIVES
        for room in range(rooms)
    ]
    # GL and PyTorch are kept apart, as in `render_split`.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as renderer:
        for frames in renderer.map(_drive, *zip(*drives, strict=True)):
            clean += frames
    rng = np.random.default_rng([seed, 8])
    names = list(CORRUPTIONS)
    for index, rgb in enumerate(clean):
        yield rgb
        yield corrupt(rgb, names[index % len(names)], int(rng.choice(SEVERITIES)), index)


def _drive(seed: int, width: int, height: int) -> list[np.ndarray]:
    with SimulatedRobot(seed, width, height) as robot:
        frames = [robot.frame(depth=False).rgb for _ in range(_FRAMES_OF_A_DRIVE * _STEP)]
    return frames[::_STEP]


def strange_pictures(photographs: Path | None) -> Iterator[np.ndarray]:
    """Pictures of no simulated world; `photographs` is a folder, None for none."""
    yield from (other_picture(number) for number in range(_OTHERS))
    if photographs is not None:
        yield from map(read_picture, find_pictures(photographs))


def mean_features(segmenter: Segmenter, pictures: Iterable[np.ndarray]) -> Tensor:
    """(M, D) float64: what the familiarity test reads of each picture."""
    rows: list[Tensor] = []
    main = segmenter.parts.main
    before, main.watch = main.watch, lambda means: rows.append(means[0].double())
    try:
        for picture in pictures:
            segmenter.segment(picture)
    finally:
        main.watch = before
    return torch.stack(rows)


def fit(familiar: Tensor, strange: Tensor) -> FamiliarityTest:
    """A linear classifier, with a threshold for `_FALSE_ALARMS`.

    The threshold is chosen on familiar pictures that the classifier was not made of: in each fold,
    a part of them is left out.

    Args:
        familiar, strange: (M, D) float64, `mean_features` of each.
    """
    scores = []
    for part in torch.arange(len(familiar)).chunk(_FOLDS):
        kept = torch.ones(len(familiar), dtype=torch.bool)
        kept[part] = False
        direction, offset = _classifier(familiar[kept], strange)
        scores.append(familiar[part] @ direction + offset)
    direction, offset = _classifier(familiar, strange)
    offset = offset - torch.quantile(torch.cat(scores), 1 - _FALSE_ALARMS)
    return FamiliarityTest(direction.float(), offset.float())


def _classifier(familiar: Tensor, strange: Tensor) -> tuple[Tensor, Tensor]:
    """Direction (D,) and offset () by least squares, both classes with the same weight."""
    mean, scale = familiar.mean(dim=0), familiar.std(dim=0) + 1e-3 * familiar.abs().mean()
    rows = torch.cat([(familiar - mean) / scale, (strange - mean) / scale])
    rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], dim=1)
    wanted = torch.cat([-torch.ones(len(familiar)), torch.ones(len(strange))]).to(rows)
    weight = torch.where(wanted < 0, 1.0 / len(familiar), 1.0 / len(strange))
    moments = (rows * weight[:, None]).T @ rows + _RIDGE * torch.eye(rows.shape[1]).to(rows)
    solution = torch.linalg.solve(moments, (rows * weight[:, None]).T @ wanted)
    direction = solution[:-1] / scale
    return direction, solution[-1] - mean @ direction


def run(seed: int, work: Path, photographs: Path | None = None) -> None:
    """Build the tests of both models and write them beside the models."""
    work.mkdir(parents=True, exist_ok=True)
    familiar = list(familiar_pictures(seed, work))
    strange = list(strange_pictures(photographs))
    for name, segmenter in (("demo", _demo()), ("demo_maskclip_plus", _demo_maskclip_plus())):
        features = [mean_features(segmenter, pictures) for pictures in (familiar, strange)]
        torch.save(features, work / f"{name}_familiarity.pt")
        test = fit(*features)
        path = _MODELS / f"{name}_familiarity.safetensors"
        test.save(path)
        print(f"{path}: {len(familiar)} familiar and {len(strange)} strange pictures")


# By their files: under their names the models have tests already, or want them.
def _demo() -> Segmenter:
    segmenter = Segmenter(
        _MODELS / "demo.json", _MODELS / "demo.safetensors", _MODELS / "demo_heads.safetensors",
        device="cpu", precision="float32", offline=True, inference_size=HEIGHT,
    )  # fmt: skip
    segmenter.set_prompts(["floor", "wall"])
    return segmenter


def _demo_maskclip_plus() -> Segmenter:
    return Segmenter(
        _MODELS / "demo_maskclip_plus.safetensors", method="maskclip+", device="cpu",
        precision="float32", offline=True,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=count, default=0)
    parser.add_argument("--work-dir", type=Path, default=Path("build/demo-model"))
    parser.add_argument("--photographs", type=Path, help="a folder of photographs to add")
    options = parser.parse_args(arguments)
    run(options.seed, options.work_dir, options.photographs)


if __name__ == "__main__":
    main()
