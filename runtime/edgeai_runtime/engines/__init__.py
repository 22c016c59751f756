"""Engine adapters, one module each."""
