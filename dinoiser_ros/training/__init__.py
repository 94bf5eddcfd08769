# SPDX-License-Identifier: Apache-2.0
"""Training: the teachers (DINO, FOUND), the two heads, and the embedded demo model."""
