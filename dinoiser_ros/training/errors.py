"""The error that training raises on purpose."""


class TrainingError(RuntimeError):
    """A training run cannot start or go on; the message is one sentence that says what to do."""
