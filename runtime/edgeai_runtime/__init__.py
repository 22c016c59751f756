"""edgeai's runtime for devices: numpy and one engine, nothing else."""

from __future__ import annotations

__version__ = "0.1.0"
