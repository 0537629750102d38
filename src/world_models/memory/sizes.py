"""What determines M's shape. Parameters are checked by it in every stage, so it loads no torch."""

from typing import Literal, NamedTuple

from world_models.errors import ParameterError

Name = Literal["lstm", "gru"]
PARTS: dict[Name, tuple[str, ...]] = {"lstm": ("h", "c"), "gru": ("h",)}
"""What each kind of cell remembers from step to step; h is always first, and its output."""


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
    cell: Name = "lstm"
    """The paper's LSTM, or a GRU. Artifacts from before the GRU do not name it."""

    @property
    def input_size(self) -> int:
        """Inputs of the cell: z, action, and the restart flag if there is one."""
        return self.z_size + self.action_size + int(self.restart)

    @property
    def mixture_size(self) -> int:
        """Outputs that describe the next z: logits, mu and log σ, each (mixtures, z_size)."""
        return 3 * self.mixtures * self.z_size

    @property
    def parts(self) -> dict[str, int]:
        """What M remembers from step to step, and how many numbers each part has."""
        return dict.fromkeys(PARTS[self.cell], self.hidden_size)

    def seen(self, features: str) -> tuple[str, ...]:
        """Which parts C sees beside z, and in which order.

        Args:
            features: "z", then the letters of parts: "z", "zh", or "zch" in the paper's Doom.

        Raises:
            ParameterError: it does not begin with z, names a part twice, or one that M has not.
        """
        first, names = features[:1], tuple(features[1:])
        if first != "z" or len(set(names)) < len(names):
            raise ParameterError(
                f"features = {features!r}: give z, then each of M's parts at most once, as in zh."
            )
        for name in names:
            if name not in self.parts:
                raise ParameterError(
                    f"features = {features!r}: M ({self.cell}) has no part {name}; it has: "
                    f"{', '.join(self.parts)}. Change evolve.features or mdnrnn.cell."
                )
        return names

    def feature_size(self, features: str) -> int:
        """How many numbers C sees: z and the parts that ``features`` names; see :meth:`seen`."""
        return self.z_size + sum(self.parts[name] for name in self.seen(features))
