"""Structured pruning: which channels belong together, which are worth least, and the pass that cuts them out."""
