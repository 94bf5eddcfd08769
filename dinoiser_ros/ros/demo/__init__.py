# SPDX-License-Identifier: Apache-2.0
"""The demo: simulated camera and segmentation node in processes of their own, and a score."""
