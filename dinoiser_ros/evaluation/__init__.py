# SPDX-License-Identifier: Apache-2.0
"""Evaluation: benchmarks, sliding windows, confusion matrices, mIoU, and tables of results."""
