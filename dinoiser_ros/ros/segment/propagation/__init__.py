# SPDX-License-Identifier: Apache-2.0
"""Masks between inferences: the thread that carries them, and who may publish when.

The arithmetic is in `dinoiser_ros.temporal`.
"""
