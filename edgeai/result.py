"""What `compress` returns: the search's outcome, ready to be read, saved and drawn."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeai_converters.pipeline import Compression
from edgeai_converters.search.candidate import Candidate
from edgeai_converters.versions import tool_versions
from edgeai_runtime.bench.machine import describe_machine


class CompressResult:
    """The outcome of `edgeai.compress`."""

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._bundle: Path | None = None
        self._peak_memory_mib = _peak_memory_mib()

    @property
    def best(self) -> Candidate | None:
        """The best accepted candidate, else the one nearest to the budget; `None` when nothing could be made."""
        return self._compression.best

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Every recipe tried, with what was measured on it and why it was accepted or rejected."""
        return self._compression.candidates

    @property
    def pareto(self) -> Sequence[str]:
        """Ids of the candidates that no other one beats in latency, size and drop at once."""
        return self._compression.pareto

    @property
    def binding_limit(self) -> str | None:
        """The limit that kept every compressed candidate out; `None` when one was accepted."""
        return self._compression.binding_limit

    @property
    def within_budget(self) -> bool:
        """Whether `best` was accepted."""
        return self._compression.within_budget

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the best candidate of each format (or the nearest one) as one bundle and return its path.

        Raises:
            ModelError: no candidate could be made.
            OutputError: the path exists and `force` is not set, or cannot be written.
        """
        from edgeai_converters.packing import write_compression

        write_compression(self._compression, Path(path), force=force)
        self._bundle = Path(path)
        return self._bundle

    def save_models(self, folder: str | os.PathLike[str], *, force: bool = False) -> tuple[Path, ...]:
        """Write the narrower networks that were trained, in float, as `.onnx` and `.pt2`; return the files.

        Raises:
            OutputError: a file exists and `force` is not set.
        """
        from edgeai_converters.saving import write_models

        return write_models(self._compression, Path(folder), force=force)

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON document of `edgeai compress --json`."""
        done = self._compression
        budget = done.spec.budget
        return {
            "source": str(done.spec.source),
            "bundle": str(self._bundle) if self._bundle else None,
            "best": done.best.to_json() if done.best else None,
            "candidates": [candidate.to_json() for candidate in done.candidates],
            "pareto": list(done.pareto),
            "binding_limit": done.binding_limit,
            "within_budget": done.within_budget,
            "metric": done.evidence.metric.name if done.evidence else None,
            "budget": asdict(budget),
            "data": done.evidence.counts() if done.evidence else None,
            "route": list(done.graph.route),
            "parity": asdict(done.graph.parity),
            "notes": list(done.notes),
            "machine": describe_machine(),
            "tools": tool_versions(),
            "duration_s": done.duration_s,
            "peak_memory_mib": self._peak_memory_mib,
            "resumed_steps": done.reused,
        }

    def report_html(self) -> str:
        """Return the report of this search as one self-contained HTML page."""
        from edgeai.report.html import render_compress_report

        return render_compress_report(self.to_json())


def _peak_memory_mib() -> float | None:
    """Return the peak resident memory of this process or of its largest child so far; `None` where nobody tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = (resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(peaks) / 2**20
