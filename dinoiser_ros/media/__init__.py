"""Segmenting what lies on a disk: pictures, videos and bags; no ROS."""
