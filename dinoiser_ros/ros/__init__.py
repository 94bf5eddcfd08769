# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 side: thin; all numbers come from dinoiser_ros.segmentation."""
