# SPDX-License-Identifier: Apache-2.0
"""Small nodes beside the segmentation node: `image_source`, `sim_camera` and `viewer`."""
