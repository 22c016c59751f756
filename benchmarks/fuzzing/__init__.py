"""Good bundles, and ways to damage them."""
