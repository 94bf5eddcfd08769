# SPDX-License-Identifier: Apache-2.0
"""One frame from pixels to labels (`forward`), on a GPU as a CUDA graph.

`cuda_graph_cache` decides which frames are replayed, `cuda_graph_capture` makes the graph.
"""
