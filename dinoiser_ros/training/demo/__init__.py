# SPDX-License-Identifier: Apache-2.0
"""Making the embedded models from the simulated world; `build_model` runs all stages."""
