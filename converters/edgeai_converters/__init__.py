"""edgeai's converter stage: sources → graph → artifacts, measured and proved."""
