# SPDX-License-Identifier: Apache-2.0
"""The node `dinoiser`.

A frame's way: `image_subscription` -> `inference.frame_queue` -> `inference.inference_thread` ->
`publishers`. `node` is the lifecycle node, `session` all that exists between configure and cleanup,
`main` the process around them.
"""
