# SPDX-License-Identifier: Apache-2.0
"""The node `image_source`: a camera for people without a robot.

Publishes a picture, a folder of pictures, a video file or a webcam as sensor_msgs/Image.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from dinoiser_ros.errors import FrameSourceError, ParameterError
from dinoiser_ros.media.frame_sources import DEFAULT_RATE, Source, open_source
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.parameter_declaration import declare
from dinoiser_ros.ros.process_arguments import Program
from dinoiser_ros.utils.option import START, Option
from dinoiser_ros.utils.sentences import sentence_of

from .process import Finished, NodeError, run_node

SPECS = (
    Option(
        "rate",
        0.0,
        f"Frames per second; 0: the video's or webcam's own, {DEFAULT_RATE:g} for pictures.",
        START,
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
    ),
    Option("loop", True, "Start again at the end; false: wait for a subscriber, play once.", START),
    Option("frame_id", "camera", "frame_id of the images.", START),
)
_QUEUE = 5
_LAST_WAIT = Duration(seconds=5)

_PROGRAM = Program(
    "image_source",
    "image_source",
    "A camera for people without a robot: pictures, a video or a webcam on the topic image.",
    SPECS,
    as_text=("path",),
)


class ImageSource(Node):
    """Publishes the frames of a source on `image`, one for each tick of a timer."""

    def __init__(self) -> None:
        """Open the source; raises NodeError if it cannot be read."""
        super().__init__("image_source")
        try:
            values = declare(self, SPECS)
            self._source: Source = open_source(self._declare_path())
        except (ParameterError, FrameSourceError) as error:
            self.destroy_node()
            raise NodeError(str(error)) from error
        self._loop = values["loop"]
        self._frame_id = values["frame_id"]
        self._published = 0
        self._published_before = 0  # when the current pass over the source began
        self._complaints: set[str] = set()
        # Reliable: serves subscribers of both kinds, this package's node and viewers.
        self._publisher = self.create_publisher(Image, "image", _QUEUE)
        rate = values["rate"] or self._source.rate
        self.create_timer(1.0 / rate, self._tick)
        topic = self._publisher.topic_name
        self.get_logger().info(f"{self._source.description} on {topic} at {rate:g} Hz")

    def _declare_path(self) -> str:
        """Declare `path`, of any type: a webcam's number arrives as a number."""
        about = "Picture, folder of pictures, video file or webcam (0, 1, ... or /dev/video0)."
        descriptor = ParameterDescriptor(description=about, dynamic_typing=True, read_only=True)
        return str(self.declare_parameter("path", "", descriptor).value)

    def destroy_node(self) -> None:
        """Destroy the node and close its source."""
        if hasattr(self, "_source"):
            self._source.close()
        super().destroy_node()

    def _tick(self) -> None:
        if not self._loop and not self._published and not self._publisher.get_subscription_count():
            return  # played once: nobody should miss its beginning
        try:
            frame = self._source.read()
            if frame is None:
                self._rewind()
                frame = self._source.read()
        except (Finished, NodeError):
            raise
        except Exception as error:  # one bad frame, whatever is wrong with it
            self._complain(sentence_of(error))
            return
        if frame is not None:
            stamp = self.get_clock().now().to_msg()
            header = Header(stamp=stamp, frame_id=self._frame_id)
            self._publisher.publish(image_message(frame, "rgb8", header))
            self._published += 1

    def _rewind(self) -> None:
        """At the end of a source: begin again, or finish the process."""
        if self._published == self._published_before:
            raise NodeError(f"nothing in {self._source.description} can be read: check the path")
        if not self._loop:
            # The process ends after this, and what a subscriber has not received by then is lost.
            self._publisher.wait_for_all_acked(_LAST_WAIT)
            raise Finished(f"end of {self._source.description}, {self._published} frames published")
        self._published_before = self._published
        self._source.rewind()

    def _complain(self, sentence: str) -> None:
        """Log what cannot be read, once for each file and not again in every round."""
        if sentence not in self._complaints:
            self.get_logger().warning(f"{sentence}; going on with the next")
        self._complaints.add(sentence)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; returns the exit status."""
    return run_node(_PROGRAM, ImageSource, arguments)


if __name__ == "__main__":
    sys.exit(main())
