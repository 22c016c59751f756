"""What is worth making for a device: formats, precisions, widths, and whether the batch must be fixed."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

from edgeai_devices.fit_ways import needs_fixed_batch, ways_of
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format, Precision

_CONVOLUTIONS = ("CONV_2D", "Conv", "Convolution")


def formats_for(profile: Profile, asked: Sequence[Format] | None) -> tuple[Format, ...]:
    """Return the formats to make, best first: those asked for, else the device's.

    Raises:
        UsageError: one is asked for that the device does not run.
    """
    for each in asked or ():
        if each not in profile.formats:
            raise UsageError(f"{profile.name} runs {', '.join(profile.formats)}. Received: {each!r}")
    return tuple(asked or profile.formats)


def precisions_for(profile: Profile, asked: Sequence[Precision] | None) -> tuple[Precision, ...]:
    """Return the precisions to try, best first: those asked for, else the device's."""
    return tuple(asked or profile.precisions)


def size_for(profile: Profile, asked: int | None) -> int | None:
    """Return the largest artifact in bytes: what was asked for, and no more than a microcontroller's flash."""
    flash = None if profile.memory.flash_kib is None else profile.memory.flash_kib * 1024
    return min((each for each in (asked, flash) if each is not None), default=None)


def width_multiple(profile: Profile, precision: Precision) -> int:
    """Return what widths of convolutions in a precision should be multiples of; 1 where nothing is known."""
    found = 1
    for rules in profile.rules:
        for width in rules.kernel_widths:
            fits_operator = not width.operators or any(name in width.operators for name in _CONVOLUTIONS)
            if fits_operator and (not width.precisions or precision in width.precisions):
                found = lcm(found, width.channels)
    return found


def wants_fixed_batch(profile: Profile) -> bool:
    """Whether nothing on the device takes a model whose batch is free."""
    ways = ways_of(profile)
    return bool(ways) and all(needs_fixed_batch(way) for way in ways)
