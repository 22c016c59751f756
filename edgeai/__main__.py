"""`python -m edgeai` and `edgeai` are the command line."""

from __future__ import annotations

import os
import sys

from edgeai.cli import main
from edgeai.cli.failures import EXIT_INTERRUPTED


def run() -> None:
    """Run the command line and end the process with its code.

    Python itself would end by the signal, after all was told and tidied up, when Ctrl-C had met code that is made while
    modules are imported (data classes); shells take that for another code.
    """
    code = main()
    if code == EXIT_INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
