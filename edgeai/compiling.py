"""Compiling a bundle or a model for an accelerator: what the compiler reads is chosen or made first.

The compilers themselves are in `edgeai_devices.compilers`. Where one reads what no format of edgeai is (Core ML's reads
PyTorch), the model is brought to the graph, and the graph written as that.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_runtime.errors import ModelError, UsageError

if TYPE_CHECKING:
    from edgeai_converters.progress import OnStep
    from edgeai_devices.compilers.protocol import Compiled, CompilerSpec
    from edgeai_devices.profile import Profile
    from edgeai_runtime.bundle import Bundle
    from edgeai_runtime.manifest import Variant


def compile_for(
    source: Path,
    *,
    compiler: str,
    profile: Profile | None,
    out: Path,
    variant: str | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Compiled:
    """Compile a bundle's variant, or a model, for the accelerator of a device.

    Args:
        source: a bundle, an artifact that the compiler reads, or, where a program is made of it first, any source.
        compiler: a name of `edgeai_devices.compilers.table`, or what `edgeai export --to` calls it.
        profile: the device; `None` where the compiler needs none.
        out: folder of the results; made when it is not there.
        variant: of a bundle; by default the first of a format that the compiler reads, of the device's precisions
            before others.
        force: replace files of the same names.
        on_step: called with what begins.

    Raises:
        UsageError: an unknown compiler or variant, or a device without an accelerator for it.
        MissingEngineError: the compiler is not installed, or not to be had on this machine.
        ModelError: nothing that the compiler reads, or it refuses the model.
        OutputError: a file of the result is there already, or cannot be written.
    """
    from edgeai_devices.compilers.table import compile_artifact, find_compiler, load_compiler
    from edgeai_runtime.bundle import is_bundle, open_bundle

    spec = find_compiler(compiler)
    load_compiler(spec).version()  # what is not installed is said before anything is made for it
    if not source.exists():
        raise UsageError(f"There is no file {source}.")
    path, name, note = source, source.stem, ""
    if is_bundle(source):
        bundle = open_bundle(source)
        chosen = choose_variant(bundle, spec, profile, variant)
        path, name, note = bundle.file(chosen.files[0]), bundle.manifest.name, f"Compiled of the variant {chosen.id}."
    elif variant is not None:
        raise UsageError(f"{source} is no bundle and has no variant {variant!r}.")
    with tempfile.TemporaryDirectory(prefix="edgeai-compile-") as made:
        if spec.reads == ".pt2" and path.suffix != spec.reads:
            path = write_program(path, Path(made) / f"{name}.pt2")
        compiled = compile_artifact(path, compiler=compiler, profile=profile, out=out, force=force, on_step=on_step)
    return replace(compiled, notes=(*compiled.notes, note)) if note else compiled


def choose_variant(bundle: Bundle, spec: CompilerSpec, profile: Profile | None, wanted: str | None) -> Variant:
    """Return the variant of a bundle that a compiler is given; see `compile_for`.

    Raises:
        UsageError: there is no variant of the name that is wanted.
        ModelError: no variant is of a format that the compiler reads.
    """
    variants = bundle.manifest.variants
    if wanted is not None:
        for each in variants:
            if each.id == wanted:
                return each
        raise UsageError(f"The bundle has no variant {wanted!r}. It has: {', '.join(each.id for each in variants)}.")
    fit = [each for each in variants if each.format in spec.formats]
    accelerators = () if profile is None else (profile.npu, profile.gpu)
    accelerator = next((each for each in accelerators if each and spec.name in each.compilers), None)
    precisions = (*(accelerator.precisions if accelerator else ()), *(("float16", "float32") if spec.reads else ()))
    first = [each for precision in precisions for each in fit if each.precision == precision]
    if fit:
        return (first or fit)[0]
    has = ", ".join(f"{each.id} ({each.format}, {each.precision})" for each in variants) or "none"
    raise ModelError(
        f"{spec.title} reads {' or '.join(spec.formats)}, and no variant of the bundle is of that: {has}.",
        hint=f"edgeai compress MODEL --data DATA --format {spec.formats[0]}",
    )


def write_program(source: Path, target: Path) -> Path:
    """Write a model as an exported PyTorch program with a batch of one, and its names of inputs and outputs beside it.

    Args:
        source: any source.
        target: the `.pt2` file.

    Raises:
        ModelError: the source cannot be read, or has an operator that the program cannot hold.
        MissingEngineError: PyTorch is not installed.
    """
    from edgeai_converters.graph.shapes import fix_batch
    from edgeai_converters.graph.simplify import simplify
    from edgeai_converters.sources.table import import_source
    from edgeai_converters.train.twin import make_twin, save_twin
    from edgeai_devices.compilers.coreml import BOUNDARY

    model, _ = simplify(fix_batch(import_source(source).model, 1))
    save_twin(make_twin(model), model, target)
    names = {
        "inputs": [value.name for value in model.graph.inputs],
        "outputs": [value.name for value in model.graph.outputs],
    }
    target.with_suffix(BOUNDARY).write_text(json.dumps(names), encoding="utf-8")
    return target
