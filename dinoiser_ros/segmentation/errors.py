"""The errors that the engine raises: each message is one sentence that says what to do."""


class DinoiserError(Exception):
    """Base of every error that `dinoiser_ros.segmentation` raises on purpose."""


class PromptError(DinoiserError, ValueError):
    """A prompt, or a list of prompts, cannot be used."""


class ImageError(DinoiserError, ValueError):
    """An image has the wrong type, shape or size."""


class OptionError(DinoiserError, ValueError):
    """An option of the segmenter (method, threshold, device, ...) has a value it cannot take."""


class WeightsError(DinoiserError, RuntimeError):
    """Weights cannot be found, fetched or verified, or do not fit the model."""
