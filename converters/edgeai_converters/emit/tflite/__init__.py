"""The TFLite writer: a flatbuffer from the op table."""
