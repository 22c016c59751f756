"""Samples from image files listed in a table: `file,label` per row (CSV, TSV or `labels.txt`).

The first row may be a header. Paths are relative to the table. Columns are separated by commas, semicolons, tabs or,
in a `.txt`, blanks. Labels are class indices, class names, or numbers (targets); a table with files only has no labels.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.dataset_images import IMAGE_SUFFIXES, ImageSamples, image_mode, single_image_input
from edgeai_converters.calibrate.samples_labels import index_class_names
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
TABLE_NAMES = ("labels.csv", "labels.tsv", "labels.txt")
_SHOWN = 5


def read_image_table(table: Path, *, inputs: Sequence[TensorSpec], class_names: Sequence[str]) -> ImageSamples:
    """Take the images that a table lists, in its order, with their labels.

    Raises:
        DataError: an empty or unreadable table, a row without a file, files that do not exist.
    """
    where = str(table)
    spec = single_image_input(inputs, where)
    rows = read_rows(table)
    if rows and _is_header(rows[0], table.parent):
        rows = rows[1:]
    if not rows:
        raise DataError(f"{where}: the table has no rows.", hint="Write one image per row: file,label")
    columns = {len(row) for row in rows}
    if columns - {1, 2} or len(columns) > 1:
        raise DataError(
            f"{where}: rows have {', '.join(map(str, sorted(columns)))} columns.",
            hint="Write one image per row with the same columns everywhere: file,label",
        )
    files = tuple(table.parent / row[0] for row in rows)
    missing = [file for file in files if not file.is_file()]
    if missing:
        shown = ", ".join(str(file) for file in missing[:_SHOWN]) + (" …" if len(missing) > _SHOWN else "")
        raise DataError(
            f"{where}: {len(missing)} of {len(files)} files do not exist: {shown}",
            hint="Paths are relative to the table's own folder.",
        )
    labels, names = _labels([row[1] for row in rows], class_names, where) if 2 in columns else (None, ())
    notes = () if labels is not None else (f"{where}: the table has no column of labels.",)
    return ImageSamples(
        where=where,
        input_name=spec.name,
        files=files,
        mode=image_mode(spec),
        labels=labels,
        class_names=names,
        notes=notes,
    )


def read_rows(table: Path) -> list[list[str]]:
    """Return the fields of every row that is not blank or a `#` comment.

    Raises:
        DataError: the file is not text.
    """
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{table}: not a text table: {error}", hint="Save it as UTF-8 text, one image per row: file,label"
        ) from error
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    separator = next((mark for mark in "\t;," if any(mark in line for line in lines)), None)
    if separator is not None:
        return [[field.strip() for field in row] for row in csv.reader(lines, delimiter=separator)]
    if table.suffix.lower() == ".txt":
        # A blank ends the file name only after an image suffix, so that names with blanks survive.
        pattern = re.compile(rf"^(.*?(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))}))\s+(\S.*)$", re.IGNORECASE)
        matches = [pattern.match(line.strip()) for line in lines]
        return [list(match.groups()) if match else [line.strip()] for match, line in zip(matches, lines, strict=True)]
    return [[line.strip()] for line in lines]


def is_image_table(table: Path) -> bool:
    """Say whether the rows name images (and not, say, class names)."""
    rows = read_rows(table)
    return any(Path(row[0]).suffix.lower() in IMAGE_SUFFIXES for row in rows[:2])


def _is_header(row: list[str], folder: Path) -> bool:
    return Path(row[0]).suffix.lower() not in IMAGE_SUFFIXES and not (folder / row[0]).is_file()


def _labels(values: list[str], class_names: Sequence[str], where: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    for kind in (int, float):
        try:
            return np.array([kind(value) for value in values]), tuple(class_names)
        except ValueError:
            continue
    return index_class_names(values, class_names=class_names, where=where)
