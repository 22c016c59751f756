"""The timing loop and its statistics."""
