# SPDX-License-Identifier: Apache-2.0
"""The web page on which people see segmentations and steer them: the server and the page.

One server (`server`) for two back ends of one small protocol (`backend`): the segmentation node, in
`dinoiser_ros.ros.web_console`, and a `Segmenter` with pictures, in `local_backend`.
"""
