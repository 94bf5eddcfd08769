# SPDX-License-Identifier: Apache-2.0
"""Images on their way in (`preprocess`), labels on their way out (`postprocess`, `transfer`)."""
