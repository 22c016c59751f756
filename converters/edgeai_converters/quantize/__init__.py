"""Quantization: schemes, plans and the passes that apply them."""
