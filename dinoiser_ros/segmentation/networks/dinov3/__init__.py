# SPDX-License-Identifier: Apache-2.0
"""DINOv3 (arXiv 2508.10104): a ViT whose attention knows where patches are by rotations."""
