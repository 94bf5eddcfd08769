# SPDX-License-Identifier: Apache-2.0
"""Small tools independent of segmentation: complete files, Markdown, progress bars."""
