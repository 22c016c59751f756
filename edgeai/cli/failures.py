"""From an exception to words on stderr (or one JSON document on stdout) and an exit code.

Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted. A reader that closed its end of a pipe is no
failure of ours: 141, silently, as the shell would say of a program that SIGPIPE ended.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable

import typer

from edgeai_runtime.errors import EdgeAIError, OutputError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_INTERRUPTED = "interrupted; nothing was half-written, and long work resumes when it is run again"

# typer brings its own copy of click since 0.20 and none of it is public; the base class is found through a public heir.
_CLICK_ERROR = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def run_guarded(work: Callable[[], object], *, as_json: bool, debug: bool) -> int:
    """Run `work` and return the exit code; whatever goes wrong is reported in one or two lines.

    `work` may return an exit code itself. With `debug` an unexpected exception is printed with its trace; else the
    trace goes to a file that the message names.
    """
    try:
        result = work()
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return EXIT_BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(as_json)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_FAILED
    except UsageError as error:
        return _tell(error, EXIT_USAGE, as_json)
    except EdgeAIError as error:
        if debug:
            traceback.print_exc()
        return _tell(error, EXIT_FAILED, as_json)
    except MemoryError:
        hint = "Close other programs, or use a smaller model, fewer formats or a machine with more memory."
        return _tell(OutputError("The memory of this machine is used up.", hint=hint), EXIT_FAILED, as_json)
    except Exception as error:
        if isinstance(error, _CLICK_ERROR):
            return _tell_usage(error, as_json)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _tell(_disk_full(error), EXIT_FAILED, as_json)
        return _tell_unexpected(error, as_json=as_json, debug=debug)
    if result == EXIT_INTERRUPTED:  # typer turns KeyboardInterrupt into this code itself
        return _interrupted(as_json)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _interrupted(as_json: bool) -> int:
    if as_json:
        _print_json({"type": "Interrupted", "message": _INTERRUPTED, "hint": ""})
    else:
        _say(f"\n{_INTERRUPTED}")
    return EXIT_INTERRUPTED


def _tell(error: EdgeAIError, code: int, as_json: bool) -> int:
    if as_json:
        _print_json(error.to_json())
    else:
        _say(f"error: {error}")
    return code


def _tell_usage(error: Exception, as_json: bool) -> int:
    """Tell what the option parser refused, with the usage line it knows."""
    if type(error).__name__ == "NoArgsIsHelpError":
        _say(str(getattr(error, "message", "")))
        return EXIT_USAGE
    format_message = getattr(error, "format_message", None)
    message = str(format_message() if format_message else error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "edgeai"
    return _tell(UsageError(message, hint=f"{command} --help"), EXIT_USAGE, as_json)


def _disk_full(error: OSError) -> OutputError:
    where = f" while writing {error.filename}" if error.filename else ""
    return OutputError(
        f"The disk is full{where}.",
        hint="Free some space, or name another disk with --work and --output; the same command continues from there.",
    )


def _tell_unexpected(error: Exception, *, as_json: bool, debug: bool) -> int:
    line = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if debug:
        traceback.print_exception(error)
        hint = "The trace is on stderr."
    else:
        hint = _write_trace(error)
    if as_json:
        _print_json({"type": "UnexpectedError", "message": line, "hint": hint})
    else:
        _say(f"unexpected error: {line}\n  → {hint}")
    return EXIT_FAILED


def _write_trace(error: Exception) -> str:
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="edgeai-", suffix=".txt", delete=False, encoding="utf-8") as file:
            file.write(f"{' '.join(sys.argv)}\n\n{text}")
    except OSError:
        return "Run `edgeai --debug …` to see the trace."
    return f"This is a defect of edgeai. The trace is in {file.name}; `edgeai --debug …` prints it."


def _print_json(error: dict[str, str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps({"error": error}, indent=2, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"{line}\n")


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's flush at exit does not complain about the closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
