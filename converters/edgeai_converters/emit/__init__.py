"""Emitters: each writes the graph in one format."""
