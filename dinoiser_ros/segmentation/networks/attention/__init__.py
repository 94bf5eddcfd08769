# SPDX-License-Identifier: Apache-2.0
"""Attention on a CPU: `kernels` are ways to compute it, `choice` measures which is the fastest."""
