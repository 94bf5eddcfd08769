#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The command `dinoiser`, which pip makes where there is no colcon.
exec python3 -m dinoiser_ros.cli "$@"
