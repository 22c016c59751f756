"""The operators of the trainable twin: one function each, one file per family, one literal table."""
