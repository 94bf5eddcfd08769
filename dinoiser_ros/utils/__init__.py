# SPDX-License-Identifier: Apache-2.0
"""Small tools that know nothing of segmentation: files that are written as a whole, Markdown."""
