# SPDX-License-Identifier: Apache-2.0
"""Training CLIP-DINOiser's two heads: teachers, losses, options, files."""
