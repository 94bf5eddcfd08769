# SPDX-License-Identifier: Apache-2.0
"""Picture files as RGB arrays: one decoder for what lies on a disk and what comes in a message.

`decode` reads them, `integrity` finds the damaged ones, `levels` brings more than 8 bits to 8,
`limits` refuses what is too large before it is decoded, `folders` tells picture files from others.
"""
