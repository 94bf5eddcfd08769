# SPDX-License-Identifier: Apache-2.0
"""What carried and smoothed masks are worth, measured on simulated drives: `make motion`.

`drives` renders them, `correspondence` knows the true motion, `answers` is what a network says,
`replay` carries masks with `temporal.stream` as the node does, `flicker` fuses them, `report`
writes the page, and `command` is the program.
"""
