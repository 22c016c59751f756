"""Ask whether a delegate can be used here: present or absent and why, without loading a model.

A probe is the function that the table of delegates names. It imports its engine at most, and asks anything that could
take the process down in a child process. Each delegate is asked once per process.
"""

from __future__ import annotations

import functools
import importlib

from edgeai_runtime.delegates.table import DELEGATES, find_delegate
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import EdgeAIError, UsageError
from edgeai_runtime.record import dataclass


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe found. Present means worth trying: only loading a model proves that it works.

    Attributes:
        present: its library and its hardware are here.
        reason: why it is absent; empty when present.
        driver: the version of what it runs through, empty when nobody tells it.
        devices: the hardware found, in the words of its engine.
        emulated: the hardware is a simulator: good for checking function, never for speed.
    """

    present: bool
    reason: str = ""
    driver: str = ""
    devices: tuple[str, ...] = ()
    emulated: bool = False


@functools.cache
def probe(name: str) -> Probe:
    """Return whether the delegate `name` can be used on this machine, and why not.

    Raises:
        UsageError: there is no delegate of that name.
    """
    spec = find_delegate(name)
    if spec is None:
        import difflib

        near = difflib.get_close_matches(name, DELEGATES, n=1)
        raise UsageError(f"there is no delegate {name!r}", hint=f"did you mean {near[0]!r}?" if near else "")
    info = get_engine(spec.engine).info()
    if not info.present or not spec.probe:
        return Probe(present=info.present, reason=info.reason, driver=f"{info.package} {info.version}".strip())
    module, _, function = spec.probe.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)(name)
    except EdgeAIError as error:
        return Probe(present=False, reason=error.message)
    except Exception as error:  # whatever an engine raises while it is asked, the app goes on without the delegate
        return Probe(present=False, reason=f"its probe failed: {type(error).__name__}: {error}")
    assert isinstance(found, Probe), f"{spec.probe} does not return a Probe"
    return found
