"""One time step of M's recurrent part: the paper's LSTM, or a GRU in its place.

Both have ONE bias vector, as the authors' TensorFlow has; PyTorch's own cells have two. So each
equals ``torch.lstm_cell`` or ``torch.gru_cell`` with the second bias (``b_hh``) at zero.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from world_models.memory.sizes import PARTS, Name

State = tuple[Tensor, ...]
"""The cell's memory, one (B, H) tensor for each name in :attr:`Cell.parts`; h is always first."""
Step = Callable[[Tensor, State, Tensor, Tensor, Tensor], State]


class Cell(NamedTuple):
    """A kind of recurrence.

    Weights are ``w_x`` (gates·H, I), ``w_h`` (gates·H, H) and ``bias`` (gates·H,).
    """

    parts: tuple[str, ...]
    """Names of what it remembers; "h" is also its output."""
    gates: int
    open_gates: slice
    """The gates whose biases start at 1, so that an untrained cell remembers."""
    step: Step
    """From x (B, I), the state before, w_x, w_h and bias to the state after."""


def lstm(x: Tensor, state: State, w_x: Tensor, w_h: Tensor, bias: Tensor) -> State:
    """Hochreiter & Schmidhuber's LSTM; gates in the order i, f, u (candidate), o."""
    h, c = state
    i, f, u, o = (x @ w_x.t() + h @ w_h.t() + bias).chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * u.tanh()
    return o.sigmoid() * c.tanh(), c


def gru(x: Tensor, state: State, w_x: Tensor, w_h: Tensor, bias: Tensor) -> State:
    """Cho et al.'s GRU as PyTorch and cuDNN compute it; gates in the order r, k (keep), u.

    The reset gate r multiplies the recurrent product U·h, not h before the product.
    """
    (h,) = state
    r_x, k_x, u_x = (x @ w_x.t() + bias).chunk(3, dim=-1)
    r_h, k_h, u_h = (h @ w_h.t()).chunk(3, dim=-1)
    keep = (k_x + k_h).sigmoid()
    candidate = (u_x + (r_x + r_h).sigmoid() * u_h).tanh()
    return (keep * h + (1 - keep) * candidate,)


CELLS: dict[Name, Cell] = {
    "lstm": Cell(PARTS["lstm"], 4, slice(1, 2), lstm),
    "gru": Cell(PARTS["gru"], 3, slice(0, 2), gru),
}
