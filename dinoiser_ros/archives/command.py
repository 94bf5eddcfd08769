# SPDX-License-Identifier: Apache-2.0
"""`dinoiser segment` with --workers or --ray: the same results, made by many processes."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.command import (
    INTERRUPTED,
    check_datasets,
    save_datasets,
    settings_of,
)
from dinoiser_ros.media.inputs import SUPPORTED, Input, find_inputs
from dinoiser_ros.media.provenance import described
from dinoiser_ros.media.reporting import Strange, about, complain, counted, say_outcome
from dinoiser_ros.media.settings import PSEUDO_LABELS, Outcome
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts
from dinoiser_ros.utils.number_types import positive
from dinoiser_ros.utils.progress import progress_bar, say
from dinoiser_ros.utils.sentences import printable

from .driver import Driver, Throughput
from .local_workers import LocalWorkers
from .manifest import Manifest
from .pool import Pool
from .ray_workers import RayWorkers
from .worker import Task

SLICE_FRAMES = 128
_LISTED = 20  # failures that are listed at the end; the manifest has all
_OF_THE_COMMAND = ("alpha", "topics", "slice_frames")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` reads beyond the arguments of `media.command`."""
    group = parser.add_argument_group("many inputs")
    group.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="segment in N processes, each with a model of its own, and keep a manifest: after a "
        "stop or a kill the same command goes on where it was",
    )
    group.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="the same on the machines of a Ray cluster, or on this one; all of them need the "
        "inputs and the output folder under the same path. --workers is then by default one for "
        "each GPU, or each machine without GPUs",
    )
    group.add_argument(
        "--slice-frames",
        type=positive,
        default=SLICE_FRAMES,
        metavar="N",
        help="bags with more images are divided into slices of time with about N (%(default)s)",
    )
    group.add_argument("--fresh", action="store_true", help="forget the manifest of an earlier run")


def is_wanted(options: argparse.Namespace) -> bool:
    """Whether a command line asks for workers."""
    return options.workers is not None or options.ray is not None


def run(options: argparse.Namespace, load: Callable[[str], Segmenter]) -> int:
    """Segment all inputs that the manifest does not have yet.

    Args:
        options: from a parser with these arguments and those of `media.command`.
        load: gives the segmenter for a device; it is sent to other processes.

    Returns:
        The exit status, as of `media.command.run`; inputs that an earlier run did count as well.

    Raises:
        DinoiserError: the model, the prompts, Ray or the manifest cannot be used.
    """
    if options.ray and Path(options.ray).exists():
        raise MediaError(f"--ray takes {options.ray} for an address: put --ray behind the inputs.")
    inputs = find_inputs(options.inputs, options.output)
    if not inputs:
        say(f"dinoiser: no picture found, no video and no bag: give {SUPPORTED}.", error=True)
        return 1
    with Manifest(options.output, _described(options), options.fresh) as manifest:
        try:
            return _Run(options, inputs, manifest).go(load)
        except KeyboardInterrupt:
            say("\ndinoiser: stopped; the same command goes on from here.", error=True)
            return INTERRUPTED


class _Run:
    """One run, and what has become of its inputs."""

    def __init__(
        self, options: argparse.Namespace, inputs: list[Input], manifest: Manifest
    ) -> None:
        self._options, self._inputs, self._manifest = options, inputs, manifest
        self._found: dict[Input, Outcome | str] = {}
        for entry in inputs:
            if (outcome := manifest.outcome(entry)) is not None:
                self._found[entry] = outcome

    def go(self, load: Callable[[str], Segmenter]) -> int:
        options = self._options
        classes = lru_cache(maxsize=1)(lambda: _classes(options, load))
        check_datasets(options, classes)
        missing = [entry for entry in self._inputs if entry not in self._found]
        if self._found:
            say(f"{len(self._found)} of {len(self._inputs)} inputs are done already")
        if missing:
            settings = settings_of(options)
            task = Task(load, tuple(options.prompts), settings, options.slice_frames)
            self._do(missing, task)
        done = [entry for entry in self._inputs if isinstance(self._found[entry], Outcome)]
        complete = save_datasets(options, done, classes)
        return self._finish() if complete else max(1, self._finish())

    def _do(self, missing: list[Input], task: Task) -> None:
        total, before = len(self._inputs), len(self._found)
        with progress_bar("inputs", total, "input", initial=before, keep=False) as progress:

            def tell(entry: Input, found: Outcome | str) -> None:
                self._found[entry] = found
                if isinstance(found, str):
                    complain(entry.path, found)
                else:
                    say_outcome(entry.path, found)
                progress.update()

            def count(frames: int) -> None:  # within a long bag, too
                progress.set_postfix_str(f"{frames} images")

            driver = Driver(self._manifest, tell, count)
            pool = self._pool(task)
            speed = Throughput(driver, pool)
            with pool:
                driver.run(missing, pool)
        say(str(speed))

    def _pool(self, task: Task) -> Pool:
        options = self._options
        if options.ray is None:
            return LocalWorkers(task, options.workers, options.device)
        return RayWorkers(task, options.workers, options.device, options.ray)

    def _finish(self) -> int:
        """Say how it went with all inputs; returns the exit status."""
        wrong = []
        done: Counter[str | None] = Counter()
        strange = Strange()
        for entry in self._inputs:
            found = self._found[entry]
            done[entry.kind] += not isinstance(found, str)
            if isinstance(found, Outcome):
                strange.add(found)
            sentences = (found,) if isinstance(found, str) else found.problems
            wrong += [about(entry.path, sentence) for sentence in sentences]
        strange.say()
        say(f"{counted(self._inputs, done)} segmented into {printable(self._options.output)}")
        if not wrong:
            return 0
        more = len(wrong) - _LISTED
        say("dinoiser: not everything could be segmented:", error=True)
        for line in wrong[:_LISTED]:
            say(f"  {line}", error=True)
        if more > 0:
            say(f"  and {more} more, see {printable(self._manifest.path)}", error=True)
        return 1


def _classes(options: argparse.Namespace, load: Callable[[str], Segmenter]) -> list[str]:
    """The names of the classes; a checkpoint of maskclip+ may have its own."""
    given = parse_prompts(options.prompts)[1] if options.prompts else load("cpu").classes
    return [entry.name for entry in given]


def _described(options: argparse.Namespace) -> dict[str, object]:
    """All that results depend on, as JSON has it."""
    save = settings_of(options).save  # data sets are made of what is there, and may be added later
    chosen = {name: getattr(options, name) for name in _OF_THE_COMMAND}
    if PSEUDO_LABELS in (options.save or ()):
        chosen[PSEUDO_LABELS] = True
    if options.batch > 1:
        chosen["batch"] = options.batch
    return {**described(options), **chosen, "save": sorted(save) if save else None}
