# SPDX-License-Identifier: Apache-2.0
"""SigLIP (arXiv 2303.15343) and SigLIP 2 (arXiv 2502.14786): towers, names of weights, features."""
