"""What is printed below Python never mixes with a result."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, subprocess
from edgeai.cli.own_stdout import own_stdout
own_stdout()
os.write(1, b"a greeting ")
subprocess.run(["echo", "of a child"])
print("a résult", flush=True)
"""


def test_what_libraries_and_children_print_goes_to_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "a résult\n"
    assert done.stderr == "a greeting of a child\n"
