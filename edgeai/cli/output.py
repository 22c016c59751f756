"""What a command says: JSON on stdout, words and tables for people; and the guards before any work is done.

Results for people go to stdout as well (they are what was asked for); progress, warnings and errors go to stderr.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.errors import OutputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document; numbers that JSON does not have (NaN, infinities) become `null`."""
    sys.stdout.write(json_text(document))


def json_text(document: Mapping[str, Any]) -> str:
    """Return the document as JSON text that ends with a line break; see `print_json`."""
    return json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def console() -> Console:
    """Return the console for results: colours and folded lines on a terminal only; a pipe gets whole lines."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 1000
    return Console(file=sys.stdout, width=wide, highlight=False, soft_wrap=False)


def warn(message: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(f"{message}\n")


def require_free(path: Path, *, force: bool) -> None:
    """Refuse to overwrite, and refuse a folder that is not there, before any work is done.

    Raises:
        OutputError: `path` exists and `force` is not set, or its folder does not exist.
    """
    if path.exists() and not force:
        raise OutputError(f"{path} exists already.", hint="Add --force to overwrite it, or name another file with -o.")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"The folder {path.absolute().parent} does not exist.", hint=f"mkdir -p {path.parent}")


def require_file(path: Path) -> None:
    """Refuse a path that is not there; a slip of the pen gets the nearest name in the same folder.

    Raises:
        UsageError: nothing is at `path`.
    """
    if path.exists():
        return
    from difflib import get_close_matches

    try:
        beside = [entry.name for entry in path.absolute().parent.iterdir()]
    except OSError:
        beside = []
    close = get_close_matches(path.name, beside, n=1)
    raise UsageError(f"There is no file {path}.", hint=f"Did you mean {path.with_name(close[0])}?" if close else "")


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a UTF-8 text file, without blank lines at its end.

    Raises:
        UsageError: it is not there, or no UTF-8 text.
    """
    require_file(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise UsageError(f"{path} is not a UTF-8 text file: {error}") from error
    return tuple(line.strip() for line in text.rstrip().splitlines())


def read_json(path: Path) -> Any:
    """Return the document of a JSON file.

    Raises:
        UsageError: it is not there, or no JSON.
    """
    text = "\n".join(read_lines(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is not a JSON file: {error}") from error


def write_text(path: Path, text: str) -> None:
    """Write beside, then rename: `path` is either as before or complete."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def bytes_in_words(size: int | None) -> str:
    """Return `812 B`, `98.2 KB` or `1.24 MB` (decimal units, as `--max-size` reads them)."""
    if size is None:
        return "-"
    if size < 1000:
        return f"{size} B"
    if size < 1_000_000:
        return f"{size / 1000:.1f} KB"
    return f"{size / 1_000_000:.2f} MB"


def milliseconds_in_words(value: float | None) -> str:
    """Return a time with three significant digits: `0.0312 ms`, `4.27 ms`, `155 ms`."""
    if value is None:
        return "-"
    return f"{three_digits(value)} ms"


def three_digits(value: float) -> str:
    """Return a number with three significant digits and no exponent: `0.0312`, `4.27`, `155`, `12345`."""
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}" if abs(value) >= 1e-4 else f"{value:.2g}"


def shape_in_words(shape: Sequence[int | None]) -> str:
    """Return `[?, 3, 32, 32]`; `?` is a free dimension."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
