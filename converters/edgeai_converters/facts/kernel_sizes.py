"""What limits of devices bound about a kernel over height and width."""

from __future__ import annotations

from edgeai_devices.profile_rules import Property


def kernel_sizes(height: int, width: int, dilation: tuple[int, int]) -> dict[Property, tuple[int, ...]]:
    """Return height, width and area of a kernel, and of the window that it spans with its dilation (height, width)."""
    tall, wide = ((size - 1) * step + 1 for size, step in zip((height, width), dilation, strict=True))
    return {
        "kernel_height": (height,),
        "kernel_width": (width,),
        "kernel_area": (height * width,),
        "dilated_kernel_height": (tall,),
        "dilated_kernel_width": (wide,),
        "dilated_kernel_area": (tall * wide,),
    }
