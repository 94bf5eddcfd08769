# SPDX-License-Identifier: Apache-2.0
"""Open-vocabulary segmentation with CLIP-DINOiser; needs no ROS.

>>> from dinoiser_ros.segmentation import Segmenter
>>> segmenter = Segmenter(model="demo")
>>> segmenter.set_prompts(["wooden floor", "person"])
>>> labels = segmenter.segment(image).labels
"""

from dinoiser_ros.errors import DinoiserError, ImageError, OptionError, PromptError, WeightsError
from dinoiser_ros.segmentation.text.vocabulary import SegmentationClass, Vocabulary

from .result import Segmentation
from .segmenter import Segmenter

__all__ = [
    "DinoiserError",
    "ImageError",
    "OptionError",
    "PromptError",
    "Segmentation",
    "SegmentationClass",
    "Segmenter",
    "Vocabulary",
    "WeightsError",
]
