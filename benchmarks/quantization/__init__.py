"""Static int8 quantization by us and by others, on the same models, data and splits."""
