"""The desktop benchmark: what is measured, how, and what is made of it.

`measure.py` is the whole of it; each part (phases, scenarios, sustained runs, noise, energy) is a module of its own
that returns a record of `result.py`.
"""
