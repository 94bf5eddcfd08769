"""The error of an input that cannot be segmented: one sentence that says what to do."""

from dinoiser_ros.segmentation.errors import DinoiserError


class MediaError(DinoiserError, ValueError):
    """A picture, a video or a bag cannot be read, or its results not be written."""
