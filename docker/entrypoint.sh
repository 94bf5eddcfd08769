#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run a command with ROS 2, the Python packages and this workspace in its environment.
set -e

. "/opt/ros/${ROS_DISTRO}/setup.bash"
. /opt/venv/bin/activate
. /ws/install/local_setup.bash
exec "$@"
