# SPDX-License-Identifier: Apache-2.0
"""How fast the web page is: `make bench-web`.

The console in a process of its own gets 640x480 images, masks and confidences at 20 Hz from another
process, without inference (`web_camera`). Viewers are websockets that take each picture as soon as
it comes and say so, as a browser does. For 0, 1, 2 and 4 viewers:

- pictures a second, the least of all viewers;
- processor time of the console, in percent of one core. What it takes for each further viewer is
  the difference between four viewers and one, divided by three;
- the time from the opening of the websocket to the first picture, median of five, while nobody else
  looks: the console subscribes to the camera only then.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from aiohttp import ClientSession
from processes import Helper, make_room_for_images

from dinoiser_ros.ros.domain import isolate_ros

VIEWERS = (0, 1, 2, 4)
_RATE = 20.0  # Hz
_CAMERA = "/image"


def cpu_seconds(process: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def view(link: str, seconds: float) -> tuple[int, float]:
    """Look for a while; the number of pictures, and seconds until the first."""
    start = time.monotonic()
    first, count = float("nan"), 0
    origin = {"Origin": link.rstrip("/")}
    async with (
        ClientSession() as session,
        session.ws_connect(f"{link}socket", headers=origin, max_msg_size=0) as socket,
    ):
        await socket.send_json({"do": "watch", "cameras": [_CAMERA]})
        while time.monotonic() < start + seconds:
            try:
                message = await socket.receive(timeout=1.0)
            except asyncio.TimeoutError:
                continue
            if isinstance(message.data, bytes):
                count += 1
                first = time.monotonic() - start if count == 1 else first
                await socket.send_json({"do": "ready", "camera": _CAMERA})
    return count, first


async def measure(link: str, process: int, seconds: float) -> None:
    """Print a line for each number of viewers, and the result."""
    firsts = []
    for _ in range(5):
        _, first = await view(link, 1.5)
        firsts.append(first)
        await asyncio.sleep(0.5)  # the subscriptions end
    rates, loads = {}, {}
    for viewers in VIEWERS:
        before, start = cpu_seconds(process), time.monotonic()
        await asyncio.sleep(0 if viewers else seconds)
        found = await asyncio.gather(*(view(link, seconds) for _ in range(viewers)))
        elapsed = time.monotonic() - start
        loads[viewers] = 100.0 * (cpu_seconds(process) - before) / elapsed
        rates[viewers] = min((count for count, _ in found), default=0) / elapsed
        print(
            f"{viewers} viewers: {rates[viewers]:.1f} pictures/s, {loads[viewers]:.1f} % of a core",
            flush=True,
        )
    more = (loads[4] - loads[1]) / 3
    print(
        f"bench-web: first_s={statistics.median(firsts):.2f} rate_hz={rates[1]:.1f} "
        f"console_percent={loads[1]:.0f} viewer_percent={more:.1f} load={os.getloadavg()[0]:.1f}"
    )


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="web_page", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="for each number of viewers")
    options = parser.parse_args()
    isolate_ros()
    make_room_for_images()
    arguments = ["--ros-args", "-p", "port:=0"]
    console = Helper(
        "dinoiser_ros.ros.web_console.main", arguments, stderr=subprocess.PIPE, text=True
    )
    camera = Helper("web_camera", [str(_RATE)])
    try:
        lines = console.process.stderr
        assert lines is not None, "it is a pipe"
        link = next(found for line in lines if (found := re.search(r"open (http\S+)", line)))
        time.sleep(3.0)  # the camera is found
        asyncio.run(measure(link.group(1), console.process.pid, options.seconds))
    finally:
        camera.stop()
        console.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
