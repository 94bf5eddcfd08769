"""Results as tables and JSON, beside the numbers of the papers."""
