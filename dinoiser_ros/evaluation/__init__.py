"""Measuring: the benchmarks, sliding windows, confusion matrices, mIoU, and tables of them."""
