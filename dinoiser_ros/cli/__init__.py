# SPDX-License-Identifier: Apache-2.0
"""The command line `dinoiser`: `main` defines the subcommands, `arguments` what they share."""
