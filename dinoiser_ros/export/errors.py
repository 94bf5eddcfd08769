"""The error of an export that cannot be: one sentence that says what to do."""

from dinoiser_ros.segmentation.errors import DinoiserError


class ExportError(DinoiserError, RuntimeError):
    """A model cannot be written as ONNX, or the file does not compute what the model does."""
