# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: a thin layer; all results come from dinoiser_ros.segmentation."""
