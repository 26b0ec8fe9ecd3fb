"""AdamW over two flat tensors instead of one call for each of a model's many small ones.

A small transformer has dozens of parameters of a few hundred numbers: the optimiser's time is then its calls, not its
arithmetic. Here the parameters are views of flat tensors, one with and one without weight decay; their gradients are
gathered in one copy, and torch's fused AdamW runs once for each tensor. The mathematics are torch's, element by
element.

A parameter without a gradient is left alone by torch: no decay, no step counted. Flat tensors know of one step count
only, so that a tensor whose members disagree is split in two. That happens once, if ever (a head that hears nothing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from timm.optim import param_groups_weight_decay
from torch import nn
from torch.optim.adamw import adamw

__all__ = ["FlatAdamW"]

# Each parameter starts at a multiple of this many numbers: the fused kernel then never ends in its scalar remainder,
# whose rounding differs, and a result does not depend on which parameters share a tensor.
ALIGNMENT = 16
EPS = 1e-8  # torch's default


@dataclass
class _Flat:
    """Parameters that share a flat tensor, with their moments: one weight decay and one step count.

    Parameters
    ----------
    parameters : dict of str to nn.Parameter
        In order; become views of ``values``.
    weight_decay : float
        Of all of them.
    """

    parameters: dict[str, nn.Parameter]
    weight_decay: float
    values: torch.Tensor = field(init=False)
    gradient: torch.Tensor = field(init=False)
    moments: tuple[torch.Tensor, torch.Tensor] = field(init=False)
    step: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        first = next(iter(self.parameters.values()))
        # Numbers that fill a segment up to its length; their gradient is zero, so that they stay zero.
        self._fill = first.new_zeros(ALIGNMENT).detach()
        self.values = self._cat([parameter.detach() for parameter in self.parameters.values()])
        self.gradient = torch.zeros_like(self.values)
        self.moments = (torch.zeros_like(self.values), torch.zeros_like(self.values))
        self.step = torch.zeros((), dtype=torch.float32, device=first.device)
        for name, view in self.views(self.values).items():
            self.parameters[name].data = view

    def _cat(self, tensors: Sequence[torch.Tensor], out: torch.Tensor | None = None) -> torch.Tensor:
        """Return the tensors one behind the other, each filled up to a multiple of `ALIGNMENT`."""
        pieces = []
        for tensor in tensors:
            pieces.append(tensor.reshape(-1))
            if spare := -tensor.numel() % ALIGNMENT:
                pieces.append(self._fill[:spare])
        return torch.cat(pieces, out=out)

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the part of a flat tensor that belongs to each parameter, in its shape."""
        sizes = [parameter.numel() + -parameter.numel() % ALIGNMENT for parameter in self.parameters.values()]
        return {
            name: part[: parameter.numel()].view(parameter.shape)
            for (name, parameter), part in zip(self.parameters.items(), torch.split(flat, sizes), strict=True)
        }

    def gather(self) -> None:
        """Copy the gradients of all parameters into ``gradient``."""
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        self._cat(gradients, out=self.gradient)

    def take(self, names: Sequence[str]) -> _Flat:
        """Return some of the parameters as a flat tensor of their own, with their moments and step count."""
        taken = _Flat({name: self.parameters[name] for name in names}, self.weight_decay)
        for mine, theirs in zip(self.moments, taken.moments, strict=True):
            source = self.views(mine)
            for name, view in taken.views(theirs).items():
                view.copy_(source[name])
        taken.step.copy_(self.step)
        return taken


class FlatAdamW:
    """AdamW of a whole model over flat tensors.

    Weight decay is decoupled and spares what timm spares: biases, other vectors, and what the model itself lists in
    ``no_weight_decay()``. Frozen parameters are not touched; a tied one counts once. Build it after the model has
    reached its device: moving the model afterwards would tear its parameters off the flat tensors.

    Parameters
    ----------
    model : nn.Module
        Its trainable parameters become views; their values stay.
    weight_decay : float
        Of the parameters that have it.
    betas : tuple of float, default (0.9, 0.999)
        Decay of the two moments.
    """

    def __init__(self, model: nn.Module, *, weight_decay: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.betas = betas
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        skip: set[str] = getattr(model, "no_weight_decay", set)()
        self._parameters: list[nn.Parameter] = []
        self._flats: list[_Flat] = []
        for group in param_groups_weight_decay(model, weight_decay, no_weight_decay_list=skip):
            kinds: dict[tuple[torch.dtype, torch.device], dict[str, nn.Parameter]] = {}
            for parameter in group["params"]:
                kinds.setdefault((parameter.dtype, parameter.device), {})[names[id(parameter)]] = parameter
            self._flats += [_Flat(members, group["weight_decay"]) for members in kinds.values()]
            self._parameters += group["params"]
        self._gathered: list[_Flat] | None = None

    def zero_grad(self) -> None:
        """Forget the gradients: those of the next backward pass are taken over as they are, not added to zeros."""
        self._gathered = None
        for parameter in self._parameters:
            parameter.grad = None

    def clip(self, norm: float) -> torch.Tensor:
        """Scale the gradient that the next step uses down to a norm; the parameters' own ``grad`` stay.

        Parameters
        ----------
        norm : float
            Largest norm of the whole gradient.

        Returns
        -------
        torch.Tensor
            The norm before, a scalar.
        """
        flats = self._gather()
        parts = [torch.linalg.vector_norm(flat.gradient) for flat in flats]
        total = torch.linalg.vector_norm(torch.stack(parts)) if parts else torch.zeros(())
        for flat in flats:
            flat.gradient.mul_((norm / (total + 1e-6)).clamp(max=1.0))  # torch's clip_grad_norm_
        return total

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Take one step along the gradients of the last backward pass.

        Parameters
        ----------
        learning_rate : float
            Of this step.
        """
        for flat in self._gather():
            mean, square = flat.moments
            adamw(
                [flat.values],
                [flat.gradient],
                [mean],
                [square],
                [],
                [flat.step],
                fused=True,
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=learning_rate,
                weight_decay=flat.weight_decay,
                eps=EPS,
                maximize=False,
            )
        self._gathered = None

    def _gather(self) -> list[_Flat]:
        """Return the flat tensors that have a gradient, gathered once between two steps."""
        if self._gathered is None:
            if any(parameter.grad is None for parameter in self._parameters):
                self._flats = [part for flat in self._flats for part in _split(flat)]
            self._gathered = [flat for flat in self._flats if next(iter(flat.parameters.values())).grad is not None]
            for flat in self._gathered:
                flat.gather()
        return self._gathered

    def state(self) -> dict[str, torch.Tensor]:
        """Return copies of the moments and step counts, by the parameters' names.

        Returns
        -------
        dict of str to torch.Tensor
            ``NAME.mean`` and ``NAME.square`` in the parameter's shape, ``NAME.step`` a scalar. The parameters
            themselves are not in here.
        """
        state = {}
        for flat in self._flats:
            for kind, moment in zip(("mean", "square"), flat.moments, strict=True):
                state.update({f"{name}.{kind}": view.clone() for name, view in flat.views(moment).items()})
            state.update({f"{name}.step": flat.step.clone() for name in flat.parameters})
        return state

    @torch.no_grad()
    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a state: the next steps are bit for bit those that would have followed it.

        Parameters
        ----------
        state : mapping of str to torch.Tensor
            Of ``state``, of an optimiser of the same model.

        Raises
        ------
        KeyError
            A parameter is not in it.
        """
        flats = []
        for flat in self._flats:
            counts: dict[float, list[str]] = {}
            for name in flat.parameters:
                counts.setdefault(float(state[f"{name}.step"]), []).append(name)
            for count, names in counts.items():
                flats.append(flat.take(names) if len(counts) > 1 else flat)
                flats[-1].step.fill_(count)
        self._flats, self._gathered = flats, None
        for flat in flats:
            for kind, moment in zip(("mean", "square"), flat.moments, strict=True):
                for name, view in flat.views(moment).items():
                    view.copy_(state[f"{name}.{kind}"])


def _split(flat: _Flat) -> list[_Flat]:
    """Return a flat tensor, or two where only some of its parameters have a gradient."""
    heard = [name for name, parameter in flat.parameters.items() if parameter.grad is not None]
    silent = [name for name, parameter in flat.parameters.items() if parameter.grad is None]
    return [flat.take(names) for names in (heard, silent)] if heard and silent else [flat]
