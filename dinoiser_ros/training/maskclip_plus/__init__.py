"""Training a network of `maskclip+`: pseudo labels, options, trainer, checkpoint."""
