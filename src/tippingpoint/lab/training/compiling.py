"""A model's forward and backward passes as torch's compiler writes them, for who asks for it.

It pays for large models on a GPU. For small ones, and on a CPU, compiling takes longer than the whole training gains:
off unless a study says ``compile: true``. The model itself stays as it is: only the steps of the training go through
the compiled one, so that names of weights, scores and checkpoints do not know of it. It rounds otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from tippingpoint.errors import ConfigError

__all__ = ["compiled_forward"]

_SHOWN = 160  # characters of what torch says


def compiled_forward(model: nn.Module) -> Callable[[torch.Tensor], Any]:
    """Return a function that calls a model through ``torch.compile``; hooks and recorded maps work as before.

    Parameters
    ----------
    model : nn.Module
        Of `build_model`, on its device. Its parameters may be views.

    Returns
    -------
    callable
        Batch -> what the model returns. The first call compiles, which can take minutes. It raises a ConfigError
        where the model cannot be compiled here: on a CPU that needs a C++ compiler.
    """
    compiled = torch.compile(model)

    def forward(batch: torch.Tensor) -> Any:
        try:
            return compiled(batch)
        except TorchDynamoException as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:_SHOWN]
            raise ConfigError(f"training: torch.compile fails here ({said}); remove compile: true.") from error

    return forward
