"""edgeai: compress trained models for edge devices, prove it, and run them where you asked."""

from __future__ import annotations

__version__ = "0.1.0"
