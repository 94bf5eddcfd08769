# SPDX-License-Identifier: Apache-2.0
"""From pixels and depth to points: cameras, viewing rays, depth edges; arrays, no ROS, no torch.

Coordinates are those of an optical frame (REP 103): x right, y down, z forward, metres.
"""
