"""M's losses where a CPU multiplies bfloat16: all of a batch's steps, and their gradient.

Products in bfloat16 take so little time that everything beside them counts. So what enters them
is written in bfloat16 by the compiled kernels themselves; inputs, bias and recurrence are one
product a step, all heads another, as in inference; and each lane of members runs through time on
its own thread. The cell, the losses and the weights that Adam changes are float32.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_models.fast.bfloat16 import bits
from world_models.fast.lanes import Lanes
from world_models.fast.memory import cell_kernels
from world_models.fast.memory import mixture_kernels as kernels

MEMBERS = 50
"""Members of a lane, at most. In a smaller one a product spends its time on arranging the weights;
still there are two, since most machines have as many cores."""
ROWS = 1300
"""Rows of a product over several steps, about: more would find less in the cache, fewer give more
parts of a gradient to add."""


class BFloat16Sequences:
    """Losses of batches of sequences; see :mod:`world_models.fast.memory.training`.

    It works in the same memory each time: fresh pages would cost one or two ms a step.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._runs: dict[tuple[int, ...], _Run] = {}

    def __call__(
        self,
        inputs: Sequence[Tensor],
        starts: Tensor,
        z: Tensor,
        weight: Tensor,
        parameters: Sequence[Tensor],
        state: tuple[Tensor, ...] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """NLL, scalar heads, memory; arguments as in :mod:`world_models.fast.memory.training`.

        A backward pass must come before the next call with a batch of this shape.
        """
        shapes = _Shapes.of(z.shape[2], parameters)
        key = (*shapes, *starts.shape)
        if key not in self._runs:
            steps, members = starts.shape
            self._runs[key] = _Run(shapes, steps, members, self._lanes)
        run = self._runs[key]
        batch = _Batch(inputs, starts, z.contiguous(), weight, state, mask)
        nll, scalars = _Function.apply(run, batch, *parameters)  # type: ignore[no-untyped-call]
        return nll, scalars, run.memory()


class _Shapes(NamedTuple):
    inputs: int
    hidden: int
    mixture: int
    outputs: int

    @classmethod
    def of(cls, z_size: int, parameters: Sequence[Tensor]) -> "_Shapes":
        """Read from the weights, as they stand in ``parameters``."""
        w_x, _, w_h, *heads = parameters
        rows = [len(bias) for bias in heads[::2]]
        assert rows[0] % (3 * z_size) == 0, (rows, z_size)
        return cls(w_x.shape[1], w_h.shape[1], rows[0], sum(rows))


class _Batch(NamedTuple):
    inputs: Sequence[Tensor]
    starts: Tensor
    z: Tensor
    weight: Tensor
    state: tuple[Tensor, ...] | None
    mask: Tensor | None


class _Weights(NamedTuple):
    """Operands, or parts of their gradients (P, …), in bfloat16."""

    core: Tensor
    """(4H, I + 1 + H): of the inputs, of the constant 1 (the bias), of h."""
    heads: Tensor
    """(outputs, 1 + H): of the constant 1 (the biases) and h; the mixture first."""

    @classmethod
    def empty(cls, shapes: _Shapes, *parts: int) -> "_Weights":
        """Room for them."""
        core = _empty(*parts, 4 * shapes.hidden, shapes.inputs + 1 + shapes.hidden)
        return cls(core, _empty(*parts, shapes.outputs, 1 + shapes.hidden))

    def blocks(self, parameters: list[torch.Size]) -> list[tuple[Tensor, int, int]]:
        """Where each parameter stands: the matrix, row and column of its first number."""
        inputs, row = parameters[0][1], 0
        found = [(self.core, 0, 0), (self.core, 0, inputs), (self.core, 0, inputs + 1)]
        for bias in parameters[3::2]:
            found += [(self.heads, row, 0), (self.heads, row, 1)]
            row += bias[0]
        return found


class _Run:
    """Batches of one shape through time, and back.

    What goes from step to step is done by lanes of members, all else by chunks of steps. Both are
    cut the same on any number of threads, and so are all sums.
    """

    def __init__(self, shapes: _Shapes, steps: int, batch: int, lanes: Lanes) -> None:
        inputs, hidden, _, outputs = shapes
        self._shapes, self._map = shapes, lanes.map
        self._lanes = _cut(batch, min(max(2, -(-batch // MEMBERS)), batch))
        self._chunks = _cut(steps, min(-(-steps * batch // ROWS), steps))
        self._keep = torch.ones(steps + 1, batch)
        self._x = _empty(steps + 1, batch, inputs + 1 + hidden).zero_()
        self._x[:, :, inputs] = 1
        self._gates = _empty(steps, batch, 4 * hidden)
        self._c = torch.zeros(steps + 1, batch, hidden)
        self._h = _empty(steps, batch, 1 + hidden).fill_(1)
        self._dh = _empty(steps, batch, hidden)
        self._out = _empty(steps, batch, outputs)
        self._weights = _Weights.empty(shapes)
        self._parts = _Weights.empty(shapes, len(self._chunks))
        self._recurrent, self._heads_h = _empty(4 * hidden, hidden), _empty(outputs, hidden)
        self.passes = 0
        """Forward passes so far: a backward pass needs what the latest left."""

    def take(self, batch: _Batch, parameters: list[Tensor]) -> None:
        """Copy what one step needs, in bfloat16 if it enters products."""
        at = 0
        for part in batch.inputs:
            self._x[:-1, :, at : at + part.shape[2]] = part
            at += part.shape[2]
        self._keep[:-1] = 1 - batch.starts
        h, c = batch.state or (torch.zeros(()), torch.zeros(()))
        self._x[0, :, at + 1 :] = h * self._keep[0, :, None]  # the kernel does so at later steps
        self._c[0] = c
        self._z, self._weight = batch.z, batch.weight
        self._mask = None if batch.mask is None else batch.mask.bfloat16()
        blocks = self._weights.blocks([p.shape for p in parameters])
        for parameter, (matrix, row, column) in zip(parameters, blocks, strict=True):
            rows = parameter.view(len(parameter), -1)
            matrix[row : row + len(rows), column : column + rows.shape[1]] = rows
        self._recurrent.copy_(self._weights.core[:, at + 1 :])
        self._heads_h.copy_(self._weights.heads[:, 1:])

    def forward(self) -> tuple[float, Tensor]:
        """Σ weight · NLL, and the scalar heads' outputs (S, T, B)."""
        self.passes += 1
        self._map(self._forward, self._lanes)
        nll = sum(self._map(self._nll, self._chunks))
        return nll, self._out[:, :, self._shapes.mixture :].float().movedim(-1, 0)

    def memory(self) -> tuple[Tensor, Tensor]:
        """Memory after the latest forward pass: h and c, float32 (B, H)."""
        return self._x[-1, :, -self._shapes.hidden :].float(), self._c[-1].clone()

    def _forward(self, who: slice) -> None:
        core, arrays = self._weights.core.t(), (bits(self._gates), *self._cell())
        after = (bits(self._x), bits(self._h))
        steps = zip(self._x[:-1, who].unbind(), self._gates[:, who].unbind(), strict=True)
        for t, (x, gates) in enumerate(steps):
            torch.mm(x, core, out=gates)
            cell_kernels.cell_forward_bfloat16(t, who.start, who.stop, *arrays, *after)

    def _cell(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._keep.numpy(), self._c.numpy()

    def _nll(self, chunk: slice) -> float:
        """NLL of some steps, whose mixtures their gradient replaces."""
        if self._mask is not None:
            self._h[chunk, :, 1:] *= self._mask
        out = _rows(self._out, chunk)
        torch.mm(_rows(self._h, chunk), self._weights.heads.t(), out=out)
        z, weight = _rows(self._z, chunk).numpy(), self._weight[chunk].flatten().numpy()
        return float(kernels.mixture_nll_bfloat16(bits(out), z, weight))

    def backward(
        self, scale: Tensor, scalars: Tensor, parameters: list[torch.Size]
    ) -> list[Tensor]:
        """Gradients of the parameters from those of what :meth:`forward` gave."""
        size = self._shapes.mixture
        if float(scale) != 1.0:
            self._out[:, :, :size] *= scale
        self._out[:, :, size:] = scalars.movedim(0, -1)
        numbers = range(len(self._chunks))
        self._map(self._through_heads, numbers[::-1])  # what was written last may be in the cache
        self._map(self._backward, self._lanes)
        self._map(self._through_core, numbers)
        found = [torch.empty(shape) for shape in parameters]

        def add(i: int) -> None:
            parts, row, column = self._parts.blocks(parameters)[i]
            total = found[i].view(len(found[i]), -1).numpy()
            cell_kernels.sum_bfloat16(bits(parts), row, column, total)

        self._map(add, range(len(found)))
        return found

    def _through_heads(self, i: int) -> None:
        out, h, dh = (_rows(x, self._chunks[i]) for x in (self._out, self._h, self._dh))
        torch.mm(out, self._heads_h, out=dh)
        torch.mm(out.t(), h, out=self._parts.heads[i])
        if self._mask is not None:
            self._dh[self._chunks[i]] *= self._mask

    def _backward(self, who: slice) -> None:
        """The gates' gradients, in place, through all steps, the last first."""
        dc = torch.zeros(who.stop - who.start, self._shapes.hidden)
        back = dc.bfloat16()
        arrays = (bits(self._gates), *self._cell(), bits(self._dh), bits(back), dc.numpy())
        gates = self._gates[:, who].unbind()
        for t in reversed(range(len(gates))):
            cell_kernels.cell_backward_bfloat16(t, who.start, *arrays)
            if t:
                torch.mm(gates[t], self._recurrent, out=back)

    def _through_core(self, i: int) -> None:
        gates, x = (_rows(x, self._chunks[i]) for x in (self._gates, self._x))
        torch.mm(gates.t(), x, out=self._parts.core[i])


class _Function(torch.autograd.Function):
    """NLL and scalar heads (S, T, B) from the weights."""

    @staticmethod
    def forward(ctx: Any, run: _Run, batch: _Batch, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Through all steps."""
        run.take(batch, [p.detach() for p in parameters])
        nll, scalars = run.forward()
        ctx.run, ctx.passes, ctx.shapes = run, run.passes, [p.shape for p in parameters]
        return parameters[0].new_tensor(nll), scalars

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor, scalars: Tensor) -> tuple[Tensor | None, ...]:
        """And back."""
        if ctx.run.passes != ctx.passes:
            raise RuntimeError("Another batch went through M before this one's backward pass.")
        return None, None, *ctx.run.backward(scale, scalars, ctx.shapes)


def _cut(count: int, parts: int) -> list[slice]:
    """Cut into ``parts`` of about the same size."""
    edges = [count * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _rows(steps: Tensor, chunk: slice) -> Tensor:
    return steps[chunk].flatten(0, 1)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16)
