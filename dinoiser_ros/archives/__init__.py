# SPDX-License-Identifier: Apache-2.0
"""Thousands of inputs: work for many processes or machines, and a manifest to go on from."""
