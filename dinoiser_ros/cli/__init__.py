# SPDX-License-Identifier: Apache-2.0
"""The command line `dinoiser`: `main` has its subcommands, `arguments` what they share."""
