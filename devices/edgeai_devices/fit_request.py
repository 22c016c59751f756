"""What is worth making for a device: formats, precisions, widths, and whether the batch must be fixed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    """Whether nothing on the device takes a model whose batch is free; of an accelerator, nothing of its own."""
    return bool(fixed_batch_ways(profile))


def fixed_batch_ways(
    profile: Profile,
    formats: Sequence[Format] | None = None,
    *,
    compilers: Collection[str] = (),
    hardware: str | None = None,
) -> tuple[str, ...]:
    """Return the ways for whose sake the batch must be fixed; none where what is wanted takes a free one.

    Args:
        profile: the device. Something on it must take the model; of a device that is an accelerator, the accelerator.
        formats: what is made; ways that read none of these are left out. By default all.
        compilers: those that must take it as well, by name.
        hardware: `npu` or `gpu`, one way to which must take it as well.
    """
    ways = [way for way in ways_of(profile) if formats is None or set(way.formats) & set(formats)]
    reach = [way for way in ways if way.hardware in ("npu", "gpu")]
    one_of = [reach if profile.kind == "npu" and reach else ways, [way for way in ways if way.hardware == hardware]]
    one_of += [[way] for way in ways if way.kind == "compiler" and way.name in compilers]
    closed = [group for group in one_of if group and all(needs_fixed_batch(way) for way in group)]
    return tuple(dict.fromkeys(way.name for group in closed for way in group))
