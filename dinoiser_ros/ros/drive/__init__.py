# SPDX-License-Identifier: Apache-2.0
"""The simulated robot that drives by the clouds of the segmentation node, and a score."""
