"""What is in a model file, found without running it: operators, parameters, multiply-accumulates, precision."""
