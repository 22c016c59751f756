"""Source adapters: each brings one kind of trained model to the graph."""
