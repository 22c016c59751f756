"""Run one method: `python -m quantization.make MODULE:FUNCTION JOB.json FOLDER`; prints the artifact's path.

Under the interpreter of the tool's own environment too, so that only the standard library and numpy are imported here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from pathlib import Path

from quantization.job import read_job

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    module, function = sys.argv[1].split(":")
    with contextlib.redirect_stdout(sys.stderr):
        artifact = getattr(importlib.import_module(module), function)(read_job(Path(sys.argv[2])), Path(sys.argv[3]))
    print(f"ARTIFACT {artifact}")
