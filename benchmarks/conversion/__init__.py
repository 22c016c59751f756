"""The parts of `conversion_matrix.py` and `conversion_speed.py`: the cells, one attempt, its check, and the page."""
