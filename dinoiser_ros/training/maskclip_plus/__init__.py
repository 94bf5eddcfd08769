# SPDX-License-Identifier: Apache-2.0
"""Training a network of `maskclip+`: pseudo labels, options, trainer, checkpoint."""
