# SPDX-License-Identifier: Apache-2.0
"""Preparing images (`preprocess`), and making labels of results (`postprocess`, `transfer`)."""
