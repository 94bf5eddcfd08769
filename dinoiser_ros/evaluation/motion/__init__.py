# SPDX-License-Identifier: Apache-2.0
"""What carried and smoothed masks are worth, measured on simulated drives: `make motion`.

`drives` renders them, `correspondence` knows the true motion, `replay` runs the masks through
`temporal.stream` as the node does, `report` writes the page, and `command` is the program.
"""
