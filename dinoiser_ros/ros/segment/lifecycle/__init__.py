# SPDX-License-Identifier: Apache-2.0
"""The node's lifecycle: transitions one at a time, starting by itself, Nav2's bond, timers."""
