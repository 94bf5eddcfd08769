# SPDX-License-Identifier: Apache-2.0
"""Export of a segmenter to ONNX, for robots with TensorRT or ONNX Runtime: `dinoiser export`."""
