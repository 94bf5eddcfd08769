# SPDX-License-Identifier: Apache-2.0
"""The node web_console: the web page for a segmentation node, over its topics and services."""
