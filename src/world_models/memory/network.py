"""M, the MDN-RNN: an LSTM, and a mixture of Gaussians for each dimension of the next z.

Paper sections 2.2 and App. A.2, D.2; the authors' ``rnn.py`` and ``doomrnn.py``. Time comes
first in every shape: (T, B, …) with T steps and B members.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from world_models.fast.memory.cell import lstm


class Sizes(NamedTuple):
    """What determines M's shape. Artifacts carry it in their card's details."""

    z_size: int
    action_size: int
    hidden_size: int
    mixtures: int
    restart: bool
    """Doom: the flag "an episode starts here" is an input, and predicted (it says "died")."""
    reward_head: bool
    """An addition to the paper: the mean reward of a step is predicted too."""
    end_head: bool
    """An addition for environments without a restart flag: the logit of "the episode ends"."""

    @property
    def input_size(self) -> int:
        """Inputs of the LSTM: z, action, and the restart flag if there is one."""
        return self.z_size + self.action_size + int(self.restart)

    @property
    def mixture_size(self) -> int:
        """Outputs that describe the next z: logits, mu and log σ, each (mixtures, z_size)."""
        return 3 * self.mixtures * self.z_size


class State(NamedTuple):
    """M's memory between two steps: h and c, both (B, hidden_size)."""

    h: Tensor
    c: Tensor


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

    Golden parts: LSTM 299,008 + head 123,360 in CarRacing (z 32, a 3, H 256); 1,185,792 + 492,993
    in TakeCover (z 64, a 1, restart, H 512). The LSTM has one bias vector, as in the authors'
    TensorFlow; PyTorch's own has two.
    """

    def __init__(self, sizes: Sizes, dtype: torch.dtype = torch.float32) -> None:
        """Build M with Glorot weights, biases 0 and forget gates' biases 1 (the authors' defaults).

        Args:
            sizes: M's shape.
            dtype: type of the operands of matrix products; weights stay float32.
        """
        super().__init__()
        self.sizes, self.dtype = sizes, dtype
        hidden = sizes.hidden_size
        self.w_x = nn.Parameter(torch.empty(4 * hidden, sizes.input_size))
        self.w_h = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        self.mixture = nn.Linear(hidden, sizes.mixture_size)
        self.restart = nn.Linear(hidden, 1) if sizes.restart else None
        self.reward = nn.Linear(hidden, 1) if sizes.reward_head else None
        self.end = nn.Linear(hidden, 1) if sizes.end_head else None
        self._initialise()

    def _initialise(self) -> None:
        with torch.no_grad():
            # TensorFlow draws input and recurrent weights as one matrix: one Glorot bound.
            bound = (6.0 / (self.sizes.input_size + 5 * self.sizes.hidden_size)) ** 0.5
            self.w_x.uniform_(-bound, bound)
            self.w_h.uniform_(-bound, bound)
            self.bias[self.sizes.hidden_size : 2 * self.sizes.hidden_size] = 1.0
            for head in self.children():
                assert isinstance(head, nn.Linear)
                nn.init.xavier_uniform_(head.weight)
                nn.init.zeros_(head.bias)

    def parts(self) -> dict[str, int]:
        """Trainable weights of the LSTM and of the head."""
        core = self.w_x.numel() + self.w_h.numel() + self.bias.numel()
        return {"lstm": core, "head": sum(p.numel() for p in self.parameters()) - core}

    def scalar_heads(self) -> dict[str, nn.Linear]:
        """The heads that M has beside the mixture, by name."""
        named = {"restart": self.restart, "reward": self.reward, "end": self.end}
        return {name: head for name, head in named.items() if head is not None}

    def initial_state(self, members: int) -> State:
        """(h, c) = 0, the memory at an episode's first frame."""
        zeros = self.bias.new_zeros(members, self.sizes.hidden_size)
        return State(zeros, zeros.clone())

    def sequence(
        self, z: Tensor, actions: Tensor, starts: Tensor, state: State
    ) -> tuple[Prediction, State, Tensor]:
        """Predict at each of T steps; ``state`` is carried from step to step.

        Args:
            z: (T, B, z_size).
            actions: (T, B, action_size), as the simulator takes them.
            starts: (T, B) 1 on an episode's first frame, where (h, c) are reset to 0; else 0.
                In Doom the flag is an input too.
            state: memory before the first step.

        Returns:
            Predictions of step t + 1 for each t, the memory after the last step, and h (T, B, H).
        """
        inputs = [z, actions, starts[..., None]] if self.sizes.restart else [z, actions]
        h, c = lstm(
            torch.cat(inputs, dim=-1), 1 - starts, *state, self.w_x, self.w_h, self.bias, self.dtype
        )
        return self.predict(h), State(h[-1], c), h

    def step(
        self, z: Tensor, actions: Tensor, starts: Tensor, state: State
    ) -> tuple[Prediction, State]:
        """One step of :meth:`sequence`: z (B, z_size), actions (B, action_size), starts (B,)."""
        prediction, state, _ = self.sequence(z[None], actions[None], starts[None], state)
        first = [None if x is None else x[0] for x in prediction]
        return Prediction(*first), state  # type: ignore[arg-type]

    def predict(self, h: Tensor) -> Prediction:
        """The heads on h (…, hidden_size)."""
        low = self.dtype != h.dtype and h.dtype == torch.float32
        with torch.autocast(h.device.type, dtype=self.dtype, enabled=low):
            mixture = self.mixture(h).to(h.dtype)
        scalars = (
            None if head is None else head(h).squeeze(-1)
            for head in (self.restart, self.reward, self.end)
        )
        return Prediction(mixture, *scalars)
