# SPDX-License-Identifier: Apache-2.0
"""What the node counts, says in its log and publishes as diagnostics."""
