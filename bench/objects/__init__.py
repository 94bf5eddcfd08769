# SPDX-License-Identifier: Apache-2.0
"""Detections and tracks against the simulator's true instances: IDF1, switches, recall."""
