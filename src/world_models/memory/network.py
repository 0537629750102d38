"""M, the MDN-RNN: a recurrent cell, and a mixture of Gaussians for each dimension of the next z.

Paper sections 2.2 and App. A.2, D.2; the authors' ``rnn.py`` and ``doomrnn.py``. Time comes
first in every shape: (T, B, …) with T steps and B members.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from world_models.memory.cells import CELLS, Cell, State
from world_models.memory.sizes import Sizes


class Prediction(NamedTuple):
    """What M expects of the next step; the leading shape is that of the inputs.

    ``mixture`` (…, 3·mixtures·z_size) holds logits, mu, log σ, each (mixtures, z_size). The other
    fields (…,) are None where M has no such head.
    """

    mixture: Tensor
    restart: Tensor | None
    reward: Tensor | None
    end: Tensor | None


class MDNRNN(nn.Module):
    """P(z_{t+1} | z_t, a_t, h_t), and in Doom P(restart_{t+1}).

    Golden parts with the LSTM: 299,008 + head 123,360 in CarRacing (z 32, a 3, H 256); 1,185,792 +
    492,993 in TakeCover (z 64, a 1, restart, H 512). With the GRU, which has three gates in place
    of four, the first are 224,256 and 889,344. See :mod:`world_models.memory.cells` for the biases.
    """

    def __init__(self, sizes: Sizes) -> None:
        """Build M with Glorot weights and biases 0, those of gates that keep the state 1.

        These are the authors' defaults: TensorFlow's forget bias of the LSTM, and its GRU's gates.
        """
        super().__init__()
        self.sizes = sizes
        hidden, gates = sizes.hidden_size, self.cell.gates
        self.w_x = nn.Parameter(torch.empty(gates * hidden, sizes.input_size))
        self.w_h = nn.Parameter(torch.empty(gates * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(gates * hidden))
        self.mixture = nn.Linear(hidden, sizes.mixture_size)
        self.restart = nn.Linear(hidden, 1) if sizes.restart else None
        self.reward = nn.Linear(hidden, 1) if sizes.reward_head else None
        self.end = nn.Linear(hidden, 1) if sizes.end_head else None
        self._initialise()

    @property
    def cell(self) -> Cell:
        """The recurrence."""
        return CELLS[self.sizes.cell]

    @torch.no_grad()
    def _initialise(self) -> None:
        # TensorFlow draws input and recurrent weights as one matrix: one Glorot bound.
        bound = (6.0 / (self.w_x.shape[1] + self.w_h.shape[1] + self.w_h.shape[0])) ** 0.5
        self.w_x.uniform_(-bound, bound)
        self.w_h.uniform_(-bound, bound)
        self.bias.view(self.cell.gates, -1)[self.cell.open_gates] = 1.0
        for head in self.children():
            assert isinstance(head, nn.Linear)
            nn.init.xavier_uniform_(head.weight)
            nn.init.zeros_(head.bias)

    def counts(self) -> dict[str, int]:
        """Trainable weights of the cell (under its name) and of the head."""
        core = self.w_x.numel() + self.w_h.numel() + self.bias.numel()
        return {self.sizes.cell: core, "head": sum(p.numel() for p in self.parameters()) - core}

    def scalar_heads(self) -> dict[str, nn.Linear]:
        """The heads that M has beside the mixture, by name."""
        named = {"restart": self.restart, "reward": self.reward, "end": self.end}
        return {name: head for name, head in named.items() if head is not None}

    def flat(self) -> list[Tensor]:
        """All weights in the order in which accelerated formulations take them.

        w_x, bias, w_h, then bias and weight of each head, the mixture's first.
        """
        found: list[Tensor] = [self.w_x, self.bias, self.w_h]
        for head in (self.mixture, *self.scalar_heads().values()):
            found += [head.bias, head.weight]
        return found

    def initial_state(self, members: int) -> State:
        """Zeros: the memory at an episode's first frame."""
        return tuple(self.bias.new_zeros(members, size) for size in self.sizes.parts.values())

    def sequence(
        self,
        z: Tensor,
        actions: Tensor,
        starts: Tensor,
        state: State,
        mask: Tensor | None = None,
    ) -> tuple[Prediction, State]:
        """Predict at each of T steps; ``state`` is carried from step to step.

        Args:
            z: (T, B, z_size).
            actions: (T, B, action_size), as the simulator takes them.
            starts: (T, B) 1 on an episode's first frame, where the memory is reset to 0; else 0.
                In Doom the flag is an input too.
            state: memory before the first step.
            mask: (B, H) factors of h before the heads; None for 1.

        Returns:
            Predictions of step t + 1 for each t, and the memory after the last step.
        """
        outputs = []
        for x, start in zip(self.inputs(z, actions, starts), starts, strict=True):
            kept = tuple(part * (1 - start)[:, None] for part in state)
            state = self.cell.step(x, kept, self.w_x, self.w_h, self.bias)
            outputs.append(state[0])
        h = torch.stack(outputs)
        return self.predict(h if mask is None else h * mask), state

    def step(
        self, z: Tensor, actions: Tensor, starts: Tensor, state: State
    ) -> tuple[Prediction, State]:
        """One step of :meth:`sequence`: z (B, z_size), actions (B, action_size), starts (B,)."""
        prediction, state = self.sequence(z[None], actions[None], starts[None], state)
        first = [None if x is None else x[0] for x in prediction]
        return Prediction(*first), state  # type: ignore[arg-type]

    def inputs(self, z: Tensor, actions: Tensor, starts: Tensor) -> Tensor:
        """What enters the cell: z, action and, in Doom, the restart flag, (T, B, input_size)."""
        parts = [z, actions, starts[..., None]] if self.sizes.restart else [z, actions]
        return torch.cat(parts, dim=-1)

    def predict(self, h: Tensor) -> Prediction:
        """The heads on h (…, hidden_size); float32 also where products run in bfloat16."""
        scalars = (
            None if head is None else head(h).squeeze(-1).to(h.dtype)
            for head in (self.restart, self.reward, self.end)
        )
        return Prediction(self.mixture(h).to(h.dtype), *scalars)
