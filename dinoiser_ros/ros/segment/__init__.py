# SPDX-License-Identifier: Apache-2.0
"""The node `dinoiser`.

The path of a frame: `image_subscription` -> `inference.frame_queue` ->
`inference.inference_thread` -> `publishers`. `node` is the lifecycle node, `session` holds all that
exists between configure and cleanup, `main` is the process around them.
"""
