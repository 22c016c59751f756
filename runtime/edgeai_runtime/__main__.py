"""`python -m edgeai_runtime`: run, verify and time models on the device, with numpy and one engine installed.

Exit code 0: done; 1: the work or a check failed; 2: wrong usage; 130: interrupted. With `--json`, standard output is
one JSON document; an error is `{"error": {"type", "message", "hint"}}`, and a number that is not finite is `null`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from edgeai_runtime import (
    __version__,
    device_cli_bench,
    device_cli_devices,
    device_cli_run,
    device_cli_verify,
    device_cli_warm,
)
from edgeai_runtime.device_cli_text import as_text
from edgeai_runtime.errors import EdgeAIError, UsageError

_VERBS = (device_cli_run, device_cli_verify, device_cli_bench, device_cli_devices, device_cli_warm)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is an error of ours, so that it comes out like every other one."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        options = _parser().parse_args(words)
        document, code = options.work(options)
    except EdgeAIError as error:
        return _fail(error, as_json=as_json)
    except KeyboardInterrupt:
        return 129 + _fail(EdgeAIError("interrupted"), as_json=as_json)
    _write(json.dumps(_finite(document)) if as_json else as_text(options.verb, document))
    return int(code)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m edgeai_runtime", description="Run, verify and time models on this device.")
    parser.add_argument("--version", action="version", version=f"edgeai-runtime {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)
    for verb in _VERBS:
        verb.add_parser(verbs)
    for verb_parser in verbs.choices.values():
        verb_parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser


def _fail(error: EdgeAIError, *, as_json: bool) -> int:
    if as_json:
        document: dict[str, Any] = {"error": error.to_json()}
        _write(json.dumps(document))
    else:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    return 2 if isinstance(error, UsageError) else 1


def _finite(value: Any) -> Any:
    """Return `value` with `None` for every float that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def _write(text: str) -> None:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
