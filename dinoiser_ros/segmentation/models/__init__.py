# SPDX-License-Identifier: Apache-2.0
"""Which models there are (`registry`), how they are read (`loading`) and made ready (`assembly`).

The folder `data` holds the embedded models.
"""
