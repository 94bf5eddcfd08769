# SPDX-License-Identifier: Apache-2.0
"""The demo: a simulated camera and the segmentation node, each in its own process, and a score."""
