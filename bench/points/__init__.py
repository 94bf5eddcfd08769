# SPDX-License-Identifier: Apache-2.0
"""Clouds against the simulator: what they cost, and how many of their points are wrong."""
