"""Passes of the graph: each a function `model → (model, changed)` that edits in place and keeps what is computed."""
