# SPDX-License-Identifier: Apache-2.0
"""Segmentation of files: pictures, videos and bags; needs no ROS."""
