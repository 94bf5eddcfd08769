# SPDX-License-Identifier: Apache-2.0
"""The thread that segments: the newest frame of each camera in, published results out.

`inference_thread` is the loop, `frame_queue` is where frames wait, `pending_frame` reads messages,
`recovery` handles full memory and lost devices, `memory` releases memory.
"""
