"""Images on their way in (`preprocess`), labels on their way out (`postprocess`, `transfer`)."""
