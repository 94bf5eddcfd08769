# SPDX-License-Identifier: Apache-2.0
"""One frame from pixels to labels (`forward`), and the same again as a CUDA graph (`replays`)."""
