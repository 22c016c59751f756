"""`python -m edgeai.cli`: the same as the `edgeai` command."""

from __future__ import annotations

import sys

from edgeai.cli import main

sys.exit(main())
