"""Measuring: confusion matrices, mIoU, the held-out frames. Metrics are pure numpy."""
