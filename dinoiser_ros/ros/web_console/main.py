# SPDX-License-Identifier: Apache-2.0
"""The node `web_console`: serves the web page for a segmentation node."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rclpy.node import Node

from dinoiser_ros.errors import OptionError
from dinoiser_ros.ros.parameter_declaration import declare
from dinoiser_ros.ros.process_arguments import Program
from dinoiser_ros.ros.tools.process import NodeError, run_node
from dinoiser_ros.utils.option import START, Option
from dinoiser_ros.web.access import ServerOptions
from dinoiser_ros.web.server import Server

from .backend import NodeBackend

_DEFAULT = ServerOptions()
SPECS = (
    Option(
        "node",
        "dinoiser",
        "Name of the segmentation node; without a leading / in the console's own namespace.",
        START,
        pattern=r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*",
        values_help="a node's name",
    ),
    Option(
        "depth_topics",
        [""],
        "Topics of depth images (16UC1 or 32FC1) that lie on the cameras' images, in the order of "
        "the cameras, an empty text for none; the page then shows distances.",
        START,
        pattern=r"|[~/A-Za-z_][~/A-Za-z0-9_{}]*",
        values_help="ROS topic names",
    ),
    Option(
        "address",
        _DEFAULT.address,
        "IP address to listen on: localhost for this machine alone, 0.0.0.0 for all networks. "
        "Elsewhere than on localhost the page needs the token in the link that is printed.",
        START,
        pattern=r"\S+",
        values_help="localhost or an IP address",
    ),
    Option(
        "port",
        _DEFAULT.port,
        "TCP port; 0: a free one.",
        START,
        minimum=0,
        maximum=65535,
    ),
    Option(
        "token",
        _DEFAULT.token,
        "What the link to the page has to contain, 16 or more characters; empty: made up where one "
        "is needed.",
        START,
    ),
    Option(
        "control",
        _DEFAULT.control,
        "Whether viewers may change prompts and parameters, and teach classes; false: they only "
        "look.",
        START,
    ),
    Option(
        "max_viewers",
        _DEFAULT.most_viewers,
        "Most viewers at once.",
        START,
        minimum=1,
        maximum=256,
    ),
)

_PROGRAM = Program(
    "web_console",
    "web_console",
    "Serves a web page that shows what a segmentation node sees, changes its prompts and "
    "parameters, and teaches it classes.",
    SPECS,
)


class WebConsole(Node):
    """Serves the page, from a thread of its own; raises NodeError if it cannot."""

    def __init__(self) -> None:
        super().__init__("web_console")
        values = declare(self, SPECS)
        name = values["node"]
        if not name.startswith("/"):
            name = f"{self.get_namespace().rstrip('/')}/{name}"
        options = ServerOptions(
            values["address"],
            values["port"],
            values["token"],
            values["control"],
            values["max_viewers"],
        )

        def report(sentence: str) -> None:
            self.get_logger().warning(sentence)

        try:
            backend = NodeBackend(self, name, values["depth_topics"])
            self._server = Server(backend, options, report)
            self._server.start()
        except OptionError as error:
            self.destroy_node()
            raise NodeError(str(error)) from error
        self.get_logger().info(f"open {self._server.link} in a browser")

    def destroy_node(self) -> None:
        """Close the page, then the node."""
        server = getattr(self, "_server", None)
        if server is not None:
            server.close()
        super().destroy_node()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; returns the exit status."""
    return run_node(_PROGRAM, WebConsole, arguments)


if __name__ == "__main__":
    sys.exit(main())
