"""Compilers that make an artifact for one accelerator, behind one small protocol; `table.py` is the way in."""
