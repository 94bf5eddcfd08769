# SPDX-License-Identifier: Apache-2.0
"""A small stand-in for Nav2, to drive the simulated robot with: costmap, planner and follower.

It exists to measure what masks bring to a robot that acts on them. A real robot uses Nav2.
"""
