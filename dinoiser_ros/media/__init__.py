# SPDX-License-Identifier: Apache-2.0
"""Segmenting what lies on a disk: pictures, videos and bags; no ROS."""
