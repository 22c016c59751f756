"""Training on the graph: the trainable twin, the loop, and quantization-aware training."""
