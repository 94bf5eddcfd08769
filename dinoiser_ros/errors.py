# SPDX-License-Identifier: Apache-2.0
"""Every error that this package raises on purpose.

Each message is one sentence that says what to do.
"""

from __future__ import annotations


class DinoiserError(Exception):
    """Base of them all: who catches it catches whatever is wrong with an input, option or file."""


class PromptError(DinoiserError, ValueError):
    """A prompt, or a list of prompts, cannot be used."""


class ExampleError(DinoiserError, ValueError):
    """An example that a class is to be taught by, or the name of one, cannot be used."""


class ImageError(DinoiserError, ValueError):
    """An image has the wrong type, shape or size."""


class ImageMessageError(DinoiserError, ValueError):
    """A camera message that cannot be used.

    Attributes:
        kind: what diagnostics count it under: "size", "encoding", "depth" or "decode"; "internal"
            where a library failed in a way that it does not document.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class DepthMessageError(DinoiserError, ValueError):
    """A depth message that cannot be used.

    Attributes:
        kind: what diagnostics count it under: "depth_size", "depth_encoding", "depth_unit" or
            "depth_decode".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class CameraInfoError(DinoiserError, ValueError):
    """A camera_info message that no point can be computed with."""


class PictureError(DinoiserError, ValueError):
    """A picture file, or the content of one, cannot be read.

    Attributes:
        kind: "size" for one that is too large, "depth" for values that are no picture's, "decode".
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class OptionError(DinoiserError, ValueError):
    """An option of the segmenter (method, threshold, device, ...) has a value it cannot take."""


class NotFiniteError(DinoiserError, ArithmeticError):
    """The networks computed NaN or infinity: such a result is no segmentation."""


class ParameterError(DinoiserError, ValueError):
    """A parameter of a node has a value that it cannot take."""


class WeightsError(DinoiserError, RuntimeError):
    """Weights cannot be found, fetched or verified, or do not fit the model."""


class FileNotOnServerError(WeightsError):
    """The server has no such file, but another source may."""


class FrameSourceError(DinoiserError):
    """A source of frames, or one frame of it, cannot be read."""


class MediaError(DinoiserError, ValueError):
    """A picture, a video or a bag cannot be read, or its results not be written."""


class EvaluationError(DinoiserError, ValueError):
    """A data set, a label picture, a state file or an option of an evaluation cannot be used."""


class ExportError(DinoiserError, RuntimeError):
    """A model cannot be written as ONNX, or the file does not compute what the model does."""


class EngineError(DinoiserError, RuntimeError):
    """An engine lacks a file or a package, or cannot be made for a model."""


class TrainingError(DinoiserError, RuntimeError):
    """A training run cannot start or go on."""


class RequestError(DinoiserError):
    """What somebody asked for on the web page cannot be done; nothing was changed."""
