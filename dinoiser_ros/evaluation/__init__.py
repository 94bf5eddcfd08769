# SPDX-License-Identifier: Apache-2.0
"""Measuring: the benchmarks, sliding windows, confusion matrices, mIoU, and tables of them."""
