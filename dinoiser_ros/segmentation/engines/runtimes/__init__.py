# SPDX-License-Identifier: Apache-2.0
"""What runs a graph that `dense_graph` wrote: one file for each runtime, and which there are."""
