# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices, mIoU, and the counts over a data set."""
