# SPDX-License-Identifier: Apache-2.0
"""What all trainings share: pictures, options, processes, checkpoints of a run, its progress."""
