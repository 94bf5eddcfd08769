# SPDX-License-Identifier: Apache-2.0
"""The simulated robot world: scenes, a camera, ground truth. No ROS and no torch in here."""
