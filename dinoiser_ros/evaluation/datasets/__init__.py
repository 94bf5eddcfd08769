# SPDX-License-Identifier: Apache-2.0
"""The benchmarks: their folders, class names and label pictures, and the held-out frames."""
