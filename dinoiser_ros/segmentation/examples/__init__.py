# SPDX-License-Identifier: Apache-2.0
"""Classes given by examples: what is kept of them, their file, and the rule that makes a row."""
