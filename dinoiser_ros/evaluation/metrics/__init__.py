"""Confusion matrices, mIoU, and what is counted over a data set."""
