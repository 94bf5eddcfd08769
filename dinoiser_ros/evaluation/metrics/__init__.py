# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices, mIoU, and what is counted over a data set."""
