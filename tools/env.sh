# SPDX-License-Identifier: Apache-2.0
# Source this (bash, zsh or sh) in the repository's root to use what "make build" built: `. tools/env.sh`
# Gives python3, pytest, dinoiser and, without a ROS installation, rclpy from .venv, and the interfaces from install/.

if [ ! -f tools/env.sh ] || [ ! -f .venv/bin/activate ] || [ ! -f install/local_setup.sh ]; then
  echo 'tools/env.sh: run "make build" first, then ". tools/env.sh" in the root of the repository' >&2
  return 1
fi

. .venv/bin/activate
if [ -z "${ROS_DISTRO:-}" ]; then
  export AMENT_PREFIX_PATH="$PWD/.venv"
  export CMAKE_PREFIX_PATH="$PWD/.venv"
  export LD_LIBRARY_PATH="$PWD/.venv/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
. install/local_setup.sh

# Here `python3 -c` and `python3 -m` would otherwise find ./dinoiser_ros, which lacks the generated messages, before the
# installed package. (Python 3.11 and newer; before that, change to another directory first.)
export PYTHONSAFEPATH=1
