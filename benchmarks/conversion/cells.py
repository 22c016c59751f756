"""The cells of the matrix: which file goes to which format, and what is known of it beforehand."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from families.table import FAMILIES

FORMATS = ("tflite", "onnx", "openvino")
_BENCHMARKS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of source, as the families are saved in it.

    Attributes:
        title: its name in tables.
        framework: `torch` or `keras`, whose builders make it.
        file: its file in the family's folder; empty for a live object.
        record: the record of its saving, and what its probe file ends in.
        shapes: whether the command line must tell the shapes, since the file does not.
    """

    title: str
    framework: str
    file: str
    record: str = ""
    shapes: bool = False


FORMS: dict[str, Form] = {
    "onnx": Form(title="ONNX (torch.onnx)", framework="torch", file="model.onnx"),
    "tflite": Form(title="TFLite (TensorFlow's converter)", framework="keras", file="model.tflite", record="_3"),
    "openvino_torch": Form(title="OpenVINO IR (from ONNX)", framework="torch", file="model.xml"),
    "openvino_keras": Form(title="OpenVINO IR (from SavedModel)", framework="keras", file="model.xml", record="_3"),
    "pt2": Form(title="PyTorch `.pt2`", framework="torch", file="model.pt2"),
    "torchscript": Form(title="TorchScript `.pt`", framework="torch", file="model.pt", shapes=True),
    "live_torch": Form(title="live PyTorch module", framework="torch", file=""),
    "keras": Form(title="Keras 3 `.keras`", framework="keras", file="model.keras", record="_3"),
    "h5": Form(title="Keras 2 `.h5`", framework="keras", file="model.h5", record="_2"),
    "saved_model": Form(title="SavedModel", framework="keras", file="saved", record="_3"),
    "saved_model_keras": Form(
        title="SavedModel with Keras 2 metadata", framework="keras", file="saved_keras", record="_2"
    ),
    "frozen": Form(title="frozen TensorFlow graph `.pb`", framework="keras", file="frozen.pb", record="_3"),
    "live_keras": Form(title="live Keras model", framework="keras", file="", record="_3"),
}
"""Name → form; cheap ones first."""

ASSET_FORMS = {
    "keras_h5": "h5",
    "keras_v3": "keras",
    "tf_saved_model": "saved_model",
    "tf1_frozen_graph": "frozen",
    "torch_exported_program": "pt2",
    "onnx": "onnx",
    "tflite": "tflite",
}
"""How the index of real models names a form → the form here."""

MUST_REFUSE = {
    "tflm_person_detect_int8": "the engine itself refuses the file",
    "cifar10_resnet20_state_dict": "weights without a network",
    "kws_transformer_kwt1_state_dict": "weights without a network",
}
"""Real files that cannot be converted, and why; a clear error is the right answer."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: a source and the format it shall become.

    Attributes:
        family: a name in `FAMILIES`, or the name of a real model.
        form: a name in `FORMS`.
        format: what it shall become.
        path: the source; for a live object the folder of its family.
        shapes: shapes by input name for the command line, when the file does not tell them.
        probe: arrays to check the artifact on by ourselves; `None` for real models.
        missing: why there is no such source.
        refusal: why the file must be refused; empty when it must work.
    """

    family: str
    form: str
    format: str
    path: Path
    shapes: dict[str, list[int]] = field(default_factory=dict)
    probe: Path | None = None
    missing: str = ""
    refusal: str = ""

    @property
    def key(self) -> str:
        """The name of the cell, for `--only` and the cache."""
        return f"{self.family}/{self.form}/{self.format}"

    @property
    def live(self) -> bool:
        """Whether the source is an object of a running framework."""
        return not FORMS[self.form].file and not self.refusal


def family_cells(folder: Path) -> Iterator[Cell]:
    """Yield the cells of the families saved below `folder`; those that no framework saves are not there."""
    for form, made in FORMS.items():
        for family, about in FAMILIES.items():
            if not getattr(about, made.framework):
                continue
            place = folder / made.framework / family
            record = json.loads((place / f"saved{made.record}.json").read_text(encoding="utf-8"))
            for format in FORMATS:
                yield Cell(
                    family=family,
                    form=form,
                    format=format,
                    path=place / made.file if made.file else place,
                    shapes=record["shapes"] if made.shapes else {},
                    probe=place / f"probe{made.record}.npz",
                    missing=record["missing"].get(form.split("_")[0] if form.startswith("openvino") else form, ""),
                )


def asset_cells(assets: Path) -> Iterator[Cell]:
    """Yield the cells of the real models, those that must be refused included."""
    index = json.loads((assets / "index.json").read_text(encoding="utf-8"))
    for asset in index["assets"]:
        refusal = MUST_REFUSE.get(asset["name"], "")
        form = ASSET_FORMS.get(asset["format"]) or ("torchscript" if refusal else None)
        if form is None:
            continue
        path = assets / asset["file"]
        path = path.parent if path.name == "saved_model.pb" else path
        for format in FORMATS:
            yield Cell(family=asset["name"], form=form, format=format, path=path, refusal=refusal)


def save_families(folder: Path) -> None:
    """Save every family in every form, unless that was done with these builders and versions."""
    stamp = builders_digest()
    mark = folder / "saved.txt"
    if mark.is_file() and mark.read_text(encoding="utf-8") == stamp:
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch = [name for name, family in FAMILIES.items() if family.torch]
    keras = [name for name, family in FAMILIES.items() if family.keras]
    commands = (
        ["families.save_torch", str(folder / "torch"), *torch],
        ["families.save_keras", "3", str(folder / "keras"), *keras],
        ["families.save_keras", "2", str(folder / "keras"), *keras],
    )
    for module, *arguments in commands:
        command = [sys.executable, "-m", module, *arguments]
        subprocess.run(command, cwd=_BENCHMARKS, check=True, stdout=sys.stderr)
    mark.write_text(stamp, encoding="utf-8")


def builders_digest() -> str:
    """Return a digest of the modules that build and save the families."""
    return digest_of(sorted((_BENCHMARKS / "families").glob("*.py")))


def converters_digest() -> str:
    """Return a digest of the code that converts."""
    root = _BENCHMARKS.parent
    folders = (root / "edgeai", root / "converters", root / "runtime")
    return digest_of(sorted(path for folder in folders for path in folder.rglob("*.py")))


def digest_of(paths: list[Path]) -> str:
    """Return a short digest of the contents of files."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()[:16]
