"""Pre- and post-processing steps, run in numpy."""
