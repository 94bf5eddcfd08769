# SPDX-License-Identifier: Apache-2.0
"""From masks to objects: instances, their boxes in space, and tracks; arrays, no ROS, no torch.

`found` has it all. `instances` finds the connected parts of classes in one image, split where the
depth jumps (`depth_jumps`, `depth_parts`); `boxes` puts them into space; `tracking` gives the same
object the same number in every image, by a filter (`motion_filter`) and an assignment
(`association`). `class_names` says which classes are things.
"""
