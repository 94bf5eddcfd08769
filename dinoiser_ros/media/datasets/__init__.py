# SPDX-License-Identifier: Apache-2.0
"""Segmented pictures as data sets that others train with: COCO, Cityscapes, YOLO, Parquet."""
