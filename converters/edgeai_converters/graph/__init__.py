"""The common graph: an ONNX model held with onnx-ir, and everything done to it that is not quantization."""
