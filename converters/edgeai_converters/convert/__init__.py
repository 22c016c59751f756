"""Converting a source to one format: routes walked, artifacts gated, mismatches traced, obstacles found beforehand."""
