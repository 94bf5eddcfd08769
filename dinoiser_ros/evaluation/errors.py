"""The error of an evaluation that cannot be: one sentence that says what to do."""

from dinoiser_ros.segmentation.errors import DinoiserError


class EvaluationError(DinoiserError, ValueError):
    """A data set, a label picture, a state file or an option of an evaluation cannot be used."""
