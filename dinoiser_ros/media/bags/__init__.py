# SPDX-License-Identifier: Apache-2.0
"""Segmentation of bags: rosbag2 (mcap, sqlite3) and ROS 1, read and written without ROS."""
