# SPDX-License-Identifier: Apache-2.0
"""Depth in, point clouds out: what costmaps consume beside masks.

A `CameraPoints` belongs to each camera with depth. It holds the subscriptions of depth and
camera_info (`depth_input`), keeps depth until its image is segmented (`depth_buffer`), and
publishes clouds (`cloud_maker`, `cloud_publishers`) of all points and of groups of classes
(`class_groups`).
"""
