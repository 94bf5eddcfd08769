# SPDX-License-Identifier: Apache-2.0
"""Tests of whether a picture is of the simulated world, for the models that know nothing else."""
