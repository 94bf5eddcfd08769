# SPDX-License-Identifier: Apache-2.0
"""What does the work: one model, in a process of its own or an actor of Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from dinoiser_ros.media.inputs import BAG, Input
from dinoiser_ros.media.segment_input import checked_kind, segment_inputs
from dinoiser_ros.media.settings import Outcome, Settings
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.progress import hide_bars
from dinoiser_ros.utils.sentences import sentence_of

from .bag_slices import assemble, segment_slice, slices_of
from .jobs import BagAssembly, BagSlice, Job, Report, Result, WholeInputs


@dataclass(frozen=True)
class Task:
    """What all workers do alike; it is sent to them.

    Attributes:
        load: gives the segmenter for a device, such as "cuda:1".
        prompts: what to look for.
        settings: what is written, and where.
        slice_frames: a bag of more images is divided into slices of about so many.
    """

    load: Callable[[str], Segmenter]
    prompts: tuple[str, ...]
    settings: Settings
    slice_frames: int


class Worker:
    """One model that does jobs, one after the other.

    Args:
        task: what it does.
        device: where it computes.
        threads: of PyTorch on the CPU.
    """

    def __init__(self, task: Task, device: str, threads: int) -> None:
        self._task, self._device, self._threads = task, device, threads
        self._settings = replace(task.settings, overwrite=True)
        self._segmenter: Segmenter | None = None

    def start(self) -> str:
        """Load the model; returns why that cannot be, "" if it worked."""
        hide_bars()  # those of several processes would overwrite each other
        torch.set_num_threads(self._threads)
        try:
            self._segmenter = self._task.load(self._device)
            self._segmenter.set_prompts(self._task.prompts)
        except Exception as error:  # it is said where the workers were started
            return sentence_of(error)
        return ""

    def perform(self, job: Job) -> Report:
        """Do a job; whatever goes wrong is in the report."""
        begin = time.monotonic()
        assert self._segmenter is not None, "start comes first"
        if isinstance(job, WholeInputs):
            results = self._whole(self._segmenter, job)
            frames = sum(result.outcome.frames for result in results if result.outcome)
        else:
            result, frames = self._part(self._segmenter, job)
            results = (result,)
        return Report(results, frames, time.monotonic() - begin)

    def _whole(self, segmenter: Segmenter, job: WholeInputs) -> tuple[Result, ...]:
        work = [
            (entry, self._settings if entry.name in job.ours else self._task.settings)
            for entry in job.entries
        ]
        if job.entries[0].kind == BAG:
            (divided,) = (self._divided(segmenter, *item) for item in work)  # bags come one by one
            if divided is not None:
                return (divided,)
        return tuple(
            Result(entry, found)
            if isinstance(found, Outcome)
            else Result(entry, sentence=sentence_of(found))
            for entry, found in segment_inputs(segmenter, work, self._settings.batch)
        )

    def _divided(self, segmenter: Segmenter, bag: Input, settings: Settings) -> Result | None:
        """The slices of a bag, or what is wrong with it; None if it is short."""
        try:
            checked_kind(bag)
            slices = slices_of(segmenter, bag, settings, self._task.slice_frames)
        except Exception as error:  # whatever one input does, the others are segmented
            return Result(bag, sentence=sentence_of(error))
        return Result(bag, slices=slices) if slices else None

    def _part(self, segmenter: Segmenter, job: BagSlice | BagAssembly) -> tuple[Result, int]:
        """Returns how many images were segmented as well; for the first time, that is."""
        settings = self._settings  # what is there was checked when the bag was divided
        try:
            if isinstance(job, BagSlice):
                return Result(job.entry), segment_slice(segmenter, job, settings)
            return Result(job.entry, assemble(segmenter, job.entry, job.slices, settings)), 0
        except Exception as error:  # as above
            return Result(job.entry, sentence=sentence_of(error)), 0
