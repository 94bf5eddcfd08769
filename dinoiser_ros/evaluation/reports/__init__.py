# SPDX-License-Identifier: Apache-2.0
"""Results as tables and JSON, beside the numbers of the papers."""
