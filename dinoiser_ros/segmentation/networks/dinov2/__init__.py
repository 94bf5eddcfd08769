# SPDX-License-Identifier: Apache-2.0
"""DINOv2 (arXiv 2304.07193) with registers, and Talk2DINO's mapping of CLIP's texts to it."""
