"""The parts of `pruning_distillation.py`: data, networks, trainings, compressions, rows and the page."""
