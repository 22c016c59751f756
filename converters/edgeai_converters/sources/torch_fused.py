"""PyTorch's fused inference kernels written as plain operations: they get baked into traced encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def decompositions(torch: Any) -> dict[Any, Callable[..., Any]]:
    """Return functions for `ExportedProgram.run_decompositions` that replace fused kernels which ONNX lacks.

    `aten::_transformer_encoder_layer_fwd` is what `torch.nn.TransformerEncoderLayer` runs in evaluation mode.
    """

    def encoder_layer(
        x: Any,
        embed_dim: int,
        num_heads: int,
        qkv_weight: Any,
        qkv_bias: Any,
        proj_weight: Any,
        proj_bias: Any,
        use_gelu: bool,
        norm_first: bool,
        eps: float,
        norm1_weight: Any,
        norm1_bias: Any,
        norm2_weight: Any,
        norm2_bias: Any,
        ffn1_weight: Any,
        ffn1_bias: Any,
        ffn2_weight: Any,
        ffn2_bias: Any,
        mask: Any = None,
        mask_type: int | None = None,
    ) -> Any:
        functional = torch.nn.functional

        def attend(y: Any) -> Any:
            parts = functional.linear(y, qkv_weight, qkv_bias).chunk(3, -1)
            heads = [part.unflatten(-1, (num_heads, embed_dim // num_heads)).transpose(1, 2) for part in parts]
            bias = None
            if mask is not None:  # true where a position is left out: [N, T] for padding, [T, T] for order
                shaped = mask[:, None, None, :] if mask_type == 1 else mask
                bias = torch.zeros_like(shaped, dtype=y.dtype).masked_fill(shaped, float("-inf"))
            mixed = functional.scaled_dot_product_attention(*heads, attn_mask=bias)
            return functional.linear(mixed.transpose(1, 2).flatten(-2), proj_weight, proj_bias)

        def feed(y: Any) -> Any:
            inner = functional.linear(y, ffn1_weight, ffn1_bias)
            inner = functional.gelu(inner) if use_gelu else functional.relu(inner)
            return functional.linear(inner, ffn2_weight, ffn2_bias)

        def norm1(y: Any) -> Any:
            return functional.layer_norm(y, (embed_dim,), norm1_weight, norm1_bias, eps)

        def norm2(y: Any) -> Any:
            return functional.layer_norm(y, (embed_dim,), norm2_weight, norm2_bias, eps)

        if norm_first:
            x = x + attend(norm1(x))
            return x + feed(norm2(x))
        x = norm1(x + attend(x))
        return norm2(x + feed(x))

    return {torch.ops.aten._transformer_encoder_layer_fwd.default: encoder_layer}
