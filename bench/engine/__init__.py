# SPDX-License-Identifier: Apache-2.0
"""How long the engine takes, stage by stage: `make bench`."""
