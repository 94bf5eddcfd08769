# SPDX-License-Identifier: Apache-2.0
"""Masks over time: carried along the motion in the picture, and fused. numpy and OpenCV only.

`optical_flow` measures the motion between two pictures, `motion_track` adds it up since a picture
that was segmented, `propagation` moves a mask along it, `smoothing` fuses masks, `coverage` knows
where a mask is old and `windows` where the network should look next, and `stream` does all of it
for the pictures of one camera.
"""
