# SPDX-License-Identifier: Apache-2.0
"""The node `viewer`: shows the image topic `image` in a window, for desktops without rqt."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from dinoiser_ros.errors import ImageMessageError
from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.ros.process_arguments import Program

from .process import Finished, NodeError, run_node

if TYPE_CHECKING:
    import tkinter

    from PIL import ImageTk

_REFRESH = 0.03  # seconds between looks at the window's own events
_SMALLEST = 640  # px; narrower pictures are enlarged by a whole factor

_PROGRAM = Program(
    "viewer",
    "viewer",
    "Shows the topic image in a window.",
)


class Viewer(Node):
    """Shows the newest image; closing the window ends the process."""

    def __init__(self) -> None:
        """Open the window; raises NodeError where there is no desktop."""
        super().__init__("viewer")
        self._closed = False
        self._window = _open_window(self._close)
        self._label = _text_label(self._window)
        self._picture: ImageTk.PhotoImage | None = None
        self.create_subscription(Image, "image", self._show, qos_profile_sensor_data)
        self.create_timer(_REFRESH, self._refresh)

    def _show(self, message: Image) -> None:
        from PIL import Image as Picture
        from PIL import ImageTk

        try:
            picture = Picture.fromarray(np.ascontiguousarray(rgb_from_message(message)))
        except ImageMessageError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        factor = max(1, _SMALLEST // picture.width)
        size = picture.width * factor, picture.height * factor
        # Tk shows it only as long as somebody holds it.
        self._picture = ImageTk.PhotoImage(picture.resize(size, Picture.Resampling.NEAREST))
        self._label.configure(image=self._picture)

    def _refresh(self) -> None:
        if self._closed:
            raise Finished("the window was closed")
        self._window.update()

    def _close(self) -> None:
        self._closed = True


def _open_window(on_close: Callable[[], None]) -> tkinter.Tk:
    try:
        import tkinter
        from tkinter import TclError
    except ImportError as error:
        raise NodeError("a window needs Tk: install the package python3-tk") from error
    if not os.environ.get("DISPLAY"):
        raise NodeError("there is no desktop to open a window on (DISPLAY is not set)")
    try:
        window = tkinter.Tk()
    except TclError as error:
        raise NodeError(f"no window can be opened: {error}") from error
    window.title("dinoiser")
    window.protocol("WM_DELETE_WINDOW", on_close)
    return window


def _text_label(window: tkinter.Tk) -> tkinter.Label:
    """What pictures are shown in, with a text until the first one comes."""
    import tkinter

    label = tkinter.Label(window, text="waiting for images", padx=120, pady=90)
    label.pack()
    return label


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until the window is closed or Ctrl-C; returns the exit status."""
    return run_node(_PROGRAM, Viewer, arguments)


if __name__ == "__main__":
    sys.exit(main())
