# SPDX-License-Identifier: Apache-2.0
"""The soak test: `make soak FRAMES=20000`. See `soak.__main__` for what it does and demands."""
