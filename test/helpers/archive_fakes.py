# SPDX-License-Identifier: Apache-2.0
"""What tests of archives send to other processes: a quick segmenter that leaves traces."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from golden_data import GOLDEN_MODEL
from media_fakes import segment_by_brightness

from dinoiser_ros.archives import command
from dinoiser_ros.media import command as media
from dinoiser_ros.segmentation import Segmentation, Segmenter

PROMPTS = ("person", "floor")


def load(traces: Path, device: str, kill_at: int = 0, seconds: float = 0.0) -> Segmenter:
    """A segmenter by brightness.

    Args:
        traces: a file that gets a byte for each image, from all processes.
        device: as workers give it.
        kill_at: the image, counted over all processes, at which its process is killed; 0 for none.
        seconds: how long an image takes.
    """
    segmenter = Segmenter(**GOLDEN_MODEL, device=device, precision="float32")

    def segment(image: np.ndarray) -> Segmentation:
        with traces.open("ab") as file:
            file.write(b".")
            position = file.tell()
        if position == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(seconds)
        return segment_by_brightness(segmenter, image)

    segmenter.segment = segment  # type: ignore[method-assign]
    return segmenter


def fail_to_load(device: str) -> Segmenter:
    raise OSError(2, "No such file or directory", "weights.safetensors")


def end_while_loading(device: str) -> Segmenter:
    os._exit(7)


def parse(*arguments: object) -> argparse.Namespace:
    """A command line as `dinoiser segment` has it, without the engine's options."""
    parser = argparse.ArgumentParser()
    media.add_arguments(parser)
    command.add_arguments(parser)
    options = parser.parse_args([*map(str, arguments), "-p", *PROMPTS])
    options.device = "cpu"
    return options


def run(loader: Callable[[str], Segmenter], *arguments: object) -> int:
    """`dinoiser segment` with workers."""
    return command.run(parse(*arguments), loader)


if __name__ == "__main__":  # python3 archive_fakes.py TRACES SECONDS ARGUMENT...
    # Functions of __main__ have another name in the processes that are started.
    import archive_fakes

    loader = partial(archive_fakes.load, Path(sys.argv[1]), seconds=float(sys.argv[2]))
    sys.exit(run(loader, *sys.argv[3:]))
