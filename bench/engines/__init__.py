# SPDX-License-Identifier: Apache-2.0
"""Engines beside PyTorch, in time and in labels: `make bench-engines`."""
