# SPDX-License-Identifier: Apache-2.0
"""Objects out: detections in the image and in space, and instance masks, with track ids.

A `CameraObjects` belongs to each camera. With depth it is called by `points.camera_points`, which
knows the depth of each image, else with each mask.
"""
