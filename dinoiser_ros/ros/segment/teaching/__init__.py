# SPDX-License-Identifier: Apache-2.0
"""Teaching a running node: its recent images, and the services that add and remove examples."""
