# SPDX-License-Identifier: Apache-2.0
"""CLIP's 80 ImageNet templates, which a phrase is inserted into before it is embedded.

Each is a function from a phrase to a text, such as "a photo of a wooden floor." (arXiv 2103.00020,
section 3.1.4). They come from open_clip.
"""

from __future__ import annotations

from dinoiser_ros.segmentation.networks.open_clip_parts import TEMPLATES

__all__ = ["TEMPLATES"]
