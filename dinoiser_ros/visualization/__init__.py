# SPDX-License-Identifier: Apache-2.0
"""What people and planners look at: the overlay, and the regions of each class."""
