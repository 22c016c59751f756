"""What must be there for steps that are about to run: told before the first of them, and not after a search.

Asked only of steps that are not up to date, so that an unchanged build needs no compiler, no key's library, and no
folder that can be written.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from edgeai.builder.config import BuildConfig, ModelConfig, TargetConfig
from edgeai.builder.schema import COMPILED
from edgeai.builder.writable import require_writable
from edgeai_runtime.errors import EdgeAIError, MissingEngineError, PlacementError


def require_folders(config: BuildConfig, *, searches: bool) -> None:
    """Refuse folders that cannot be written.

    Args:
        config: what is built.
        searches: whether the lock will be written.

    Raises:
        OutputError: one cannot.
    """
    name = config.file.name
    require_writable(config.state / "build" / "it", f"{name}: the folder of finished steps")
    require_writable(config.record, f"{name}: project.output")
    if searches:
        require_writable(config.lock, f"{name}: the lock")


def require_tools(config: BuildConfig, model: ModelConfig, target: TargetConfig, steps: Collection[str]) -> None:
    """Refuse a target one of whose steps could only fail.

    Args:
        config: what is built.
        model: the model.
        target: the target.
        steps: names of the steps that would be run.

    Raises:
        MissingEngineError: an engine, compiler or library that is not installed.
        UsageError: a key that is none, or whose password is wrong.
        BundleError: the release to compare with is no bundle.
        PlacementError: nothing here can tell what runs on the device that a gate asks about.
    """
    where = f"models.{model.name}.targets.{target.name}"
    if "search" in steps or "compress" in steps:
        _require_engine(target, where)
    for output in target.outputs:
        if output in COMPILED and f"compile:{output}" in steps:
            _require_compiler(output, where)
    if "gate" in steps:
        _require_for_gates(target, f"{where}.gates")
    if "encrypt" in steps and config.encrypt_key is not None:
        _require_encryption(config)
    if "sign" in steps and config.sign_key is not None:
        _require_signing(config)


def _require_engine(target: TargetConfig, where: str) -> None:
    from edgeai_runtime.engines.table import engine_for

    found = [engine_for(format).info() for format in target.formats]
    if not any(one.present for one in found):
        reasons = "; ".join(dict.fromkeys(one.reason for one in found))
        raise MissingEngineError(f"{where}: {reasons}", hint=found[0].install)


def _require_compiler(output: str, where: str) -> None:
    from edgeai_devices.compilers.table import find_compiler, load_compiler

    with _told(f"{where}.outputs: {output}"):
        load_compiler(find_compiler(output)).version()


def _require_for_gates(target: TargetConfig, where: str) -> None:
    from edgeai_runtime.bundle import open_bundle

    gates = target.gates
    if gates.not_slower_than is not None:
        with _told(f"{where}.not_slower_than"):
            open_bundle(gates.not_slower_than)
    compiled = gates.coverage_device == "npu" and any(output in COMPILED for output in target.outputs)
    if gates.coverage is not None and gates.coverage_device != "cpu" and not compiled:
        _require_delegate(target, where)


def _require_delegate(target: TargetConfig, where: str) -> None:
    from edgeai_runtime.delegates.probe import probe
    from edgeai_runtime.delegates.table import DELEGATES
    from edgeai_runtime.engines.table import FORMAT_ENGINES

    engines, device = {FORMAT_ENGINES[format] for format in target.formats}, target.gates.coverage_device
    known = [name for name, spec in DELEGATES.items() if spec.engine in engines and spec.device == device]
    if not any(probe(name).present for name in known):
        raise PlacementError(
            f"{where}.coverage: nothing here tells what runs on {device}: none of {', '.join(known)} is here.",
            hint="`edgeai doctor` tells why. An output that the device's compiler makes tells it too.",
        )


def _require_encryption(config: BuildConfig) -> None:
    from edgeai.builder.secrets_read import read_secret
    from edgeai_converters.require import require
    from edgeai_runtime.encryption import read_key

    assert config.encrypt_key is not None
    with _told("encrypt.key"):
        require("cryptography", extra="sign")
        read_key(read_secret(config.encrypt_key, config.root))


def _require_signing(config: BuildConfig) -> None:
    from edgeai.builder.make_sign import PASSWORD_VARIABLE
    from edgeai.builder.secrets_read import read_secret
    from edgeai.signing import read_private_key

    assert config.sign_key is not None
    with _told("sign.key"):
        read_private_key(read_secret(config.sign_key, config.root), os.environ.get(PASSWORD_VARIABLE))


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Tell an error with the key that it belongs to."""
    try:
        yield
    except EdgeAIError as error:
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error
