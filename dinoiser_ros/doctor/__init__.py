# SPDX-License-Identifier: Apache-2.0
"""What this machine has and what the node will make of it: `dinoiser doctor`.

`findings` is one line of the report, `machine`, `packages`, `ros_setup` and `storage` look around,
`self_test` runs the embedded model, and `command` is the program.
"""
