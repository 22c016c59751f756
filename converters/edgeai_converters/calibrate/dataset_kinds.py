"""Which reader a data set's text asks for: one line of text to raw samples."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from edgeai_converters.calibrate.dataset_csv import (
    TABLE_NAMES,
    TABLE_SUFFIXES,
    is_image_table,
    read_image_table,
    read_rows,
)
from edgeai_converters.calibrate.dataset_function import read_function
from edgeai_converters.calibrate.dataset_images import read_image_folder
from edgeai_converters.calibrate.dataset_npz import read_npz
from edgeai_converters.calibrate.samples import Samples
from edgeai_runtime.errors import DataError
from edgeai_runtime.manifest import TensorSpec

_NPZ = re.compile(r"^(?P<path>.+?\.npz)(?::(?P<selection>[^\\/]+))?$", re.IGNORECASE)
_FUNCTION = re.compile(r"^(?P<module>[\w.]+|.+\.py):(?P<function>[A-Za-z_]\w*)$")
_KINDS = "a .npz file, a folder of images, a CSV or labels.txt beside images, or module:function"


def read_samples(
    text: str, inputs: Sequence[TensorSpec], key_suffix: str | None, class_names: Sequence[str]
) -> Samples:
    """Read the samples that `text` names; the forms are those of `open_dataset`.

    Raises:
        DataError: there is no such file, or it is of no known kind.
    """
    path = Path(text)
    if path.is_dir():
        return _read_folder(path, inputs, class_names)
    npz = _NPZ.match(text)
    if npz and not path.is_file():
        path = Path(npz["path"])
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in TABLE_SUFFIXES:
            return read_image_table(path, inputs=inputs, class_names=class_names)
        if npz or suffix == ".npz" or zipfile.is_zipfile(path):
            selection = npz["selection"] if npz and text != str(path) else None
            return read_npz(path, selection=selection, inputs=inputs, key_suffix=key_suffix, class_names=class_names)
        raise DataError(f"{text} is not a data set that edgeai can read.", hint=f"Give {_KINDS}.")
    if is_function(text):
        return read_function(text, inputs=inputs, key_suffix=key_suffix, class_names=class_names)
    near = f" The folder {path.parent} does not exist either." if not path.parent.is_dir() else ""
    raise DataError(f"There is no file or folder {str(path)!r}.{near}", hint=f"Data are {_KINDS}.")


def is_function(text: str) -> bool:
    """Whether `text` names a function (`module:function`), and no file, folder or selection of a `.npz`."""
    return bool(_FUNCTION.match(text)) and not _NPZ.match(text) and not Path(text).exists()


def _read_folder(folder: Path, inputs: Sequence[TensorSpec], class_names: Sequence[str]) -> Samples:
    """A table of images in the folder goes first; a table of bare names gives the order of the class folders."""
    tables = [folder / name for name in TABLE_NAMES if (folder / name).is_file()]
    if tables and is_image_table(tables[0]):
        return read_image_table(tables[0], inputs=inputs, class_names=class_names)
    if tables and not class_names:
        class_names = [row[0] for row in read_rows(tables[0])]
    return read_image_folder(folder, inputs=inputs, class_names=class_names)
