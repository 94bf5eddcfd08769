"""Open-vocabulary segmentation with CLIP-DINOiser; needs no ROS.

>>> from dinoiser_ros.segmentation import Segmenter
>>> segmenter = Segmenter(model="demo")
>>> segmenter.set_prompts(["wooden floor", "person"])
>>> labels = segmenter.segment(image).labels
"""

from .errors import DinoiserError, ImageError, OptionError, PromptError, WeightsError
from .segmenter import Segmentation, Segmenter
from .vocabulary import SegmentationClass, Vocabulary

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
