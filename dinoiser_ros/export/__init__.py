# SPDX-License-Identifier: Apache-2.0
"""A segmenter as an ONNX file, for robots that run TensorRT or ONNX Runtime: `dinoiser export`."""
