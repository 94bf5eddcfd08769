# SPDX-License-Identifier: Apache-2.0
"""Other runtimes than PyTorch for the network that every frame goes through (`engine`).

What an engine computes is the backbone: from pixels to what a method asked of it, see
`DenseFeatures`. That is nearly all of a frame's time. Methods, prompts, thresholds and masks stay
in PyTorch, so that they can change from one frame to the next whatever computes the features.

`dense_graph` writes the backbone as ONNX, `store` keeps it, a runtime in `runtimes` runs it,
`selection` decides whether it is used, and `backbones` puts it in the backbone's place.
"""
