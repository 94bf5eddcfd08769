# SPDX-License-Identifier: Apache-2.0
"""Stable Diffusion as a source of attention maps, for the method `cliper-diffusion`."""
