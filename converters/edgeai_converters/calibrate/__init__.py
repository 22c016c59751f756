"""Data sets, splits and streaming range estimators."""
