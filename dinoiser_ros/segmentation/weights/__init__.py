# SPDX-License-Identifier: Apache-2.0
"""Files of weights: where they are (`sources`), fetching (`download`), reading (`checkpoint`)."""
