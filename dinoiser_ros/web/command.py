# SPDX-License-Identifier: Apache-2.0
"""`dinoiser web`: the web page for pictures, without ROS."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.inputs import distinct_names
from dinoiser_ros.pictures.folders import is_picture_file
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.number_types import whole_number
from dinoiser_ros.utils.progress import say

from .access import ServerOptions

DESCRIPTION = """Look at pictures in a browser, type prompts or point at things, watch the masks.

The page is served at http://localhost:8088/ and needs no internet. At another
address than localhost it needs the token in the link that is printed.
"""
_PROMPTS = ["background", "floor", "wall", "person"]
MOST_PICTURES = 2000  # in the page's menu
_INTERRUPTED = 130  # the shell's status of a program ended by Ctrl-C


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` reads, except the arguments of the model and the method."""
    default = ServerOptions()
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="a picture, or a folder of pictures"
    )
    parser.add_argument(
        "-p",
        "--prompts",
        nargs="+",
        default=_PROMPTS,
        metavar="TEXT",
        help="what to look for at first; the page changes it",
    )
    parser.add_argument(
        "--address", default=default.address, help="IP address to listen on, 0.0.0.0 for all"
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=default.port,
        help="TCP port, 0 for a free one",
    )
    parser.add_argument(
        "--token", default=default.token, help="what the link has to contain; else one is made up"
    )
    parser.add_argument(
        "--read-only", action="store_true", help="let viewers look, and change nothing"
    )


def run(options: argparse.Namespace, load: Callable[[], Segmenter]) -> int:
    """Serve the page until Ctrl-C.

    Args:
        options: from a parser with `add_arguments`.
        load: gives the segmenter, called once if there is any picture.

    Returns:
        The exit status: 130, as of every program that is ended by Ctrl-C.

    Raises:
        DinoiserError: there is no picture, or the model, the prompts or the address cannot be used.
    """
    from .local_backend import LocalBackend
    from .server import Server  # half a second, which no other command waits for

    pictures = find_pictures(options.inputs)
    if len(pictures) > MOST_PICTURES:
        say(f"there are {len(pictures)} pictures: the page has the first {MOST_PICTURES}")
        pictures = dict(list(pictures.items())[:MOST_PICTURES])
    segmenter = load()
    segmenter.set_prompts(options.prompts)
    server = Server(
        LocalBackend(segmenter, pictures),
        ServerOptions(options.address, options.port, options.token, not options.read_only),
    )
    server.start()
    say(f"open {server.link} in a browser (Ctrl-C ends)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        say("")
    finally:
        server.close()
    return _INTERRUPTED


def find_pictures(places: Sequence[Path]) -> dict[str, Path]:
    """The pictures among files and folders, by distinct names, in their order.

    Raises:
        MediaError: there is none.
    """
    paths, names = [], []
    for place in places:
        inside = sorted(filter(is_picture_file, place.rglob("*"))) if place.is_dir() else [place]
        paths += inside
        names += [path.relative_to(place) if place.is_dir() else Path(path.name) for path in inside]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise MediaError(f"{missing}: there is no such picture.")
    if not paths:
        raise MediaError("no picture was found: give pictures, or folders of them.")
    return dict(zip(distinct_names(names), paths, strict=True))
