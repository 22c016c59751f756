"""Facts of an artifact that a device check needs, by format: operators and their shapes, lives of tensors."""
