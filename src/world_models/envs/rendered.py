"""Any Gymnasium environment that can draw itself becomes a simulator with 64×64 frames."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from world_models.envs import catalogue
from world_models.envs.actions import Argmax, Thresholds, checked
from world_models.envs.frames import PARTS, SIZE
from world_models.envs.shrinker import Shrinker
from world_models.envs.specification import Specification
from world_models.errors import EnvironmentMissingError, ParameterError

Frame = NDArray[np.uint8]


class Rendered(gymnasium.Env[Frame, NDArray[np.float32]]):
    """The environment that a specification wraps; frames are its pictures, resized by area.

    Rewards and ends are its own; episodes are truncated after the specification's cap.

    Args:
        environment: a name of the catalogue, whose specification has ``wraps``.
        renderer: "genuine", the only one.
        render_mode: None, or "rgb_array" for the whole picture, uint8 (height, width, 3).

    Raises:
        ParameterError: the wrapped environment cannot draw, or has another action space than the
            specification says.
        EnvironmentMissingError: Gymnasium does not have it, or it lacks a package.
    """

    def __init__(
        self, environment: str, renderer: str = "genuine", render_mode: str | None = None
    ) -> None:
        about = catalogue.specification(environment)
        if renderer not in about.renderers:
            raise ParameterError(f"{about.title} has no renderer {renderer!r}: it has genuine.")
        self._about, self.render_mode = about, render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": about.fps}
        self._inner = _make(about)
        _check(about, self._inner.action_space)
        low, high = about.actions.low, about.actions.high
        self.action_space = spaces.Box(low, high, dtype=np.float32)
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self._picture: Frame = np.zeros((0, 0, 3), np.uint8)
        self._shrink: Shrinker | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        _, info = self._inner.reset(seed=seed, options=options)
        return self._look(), info

    def step(self, action: NDArray[np.float32]) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """Act once.

        Raises:
            gymnasium.error.InvalidAction: the action has another shape, or is not finite.
        """
        native = self._about.native(checked(action, self._about.actions.size))
        _, reward, terminated, truncated, info = self._inner.step(native)
        return self._look(), float(reward), bool(terminated), bool(truncated), info

    def render(self) -> Any:
        """The whole picture, uint8 (height, width, 3), or None without a render mode."""
        return self._picture if self.render_mode else None

    def close(self) -> None:
        """Close the wrapped environment."""
        self._inner.close()

    def _look(self) -> Frame:
        self._picture = _checked(self._inner.render(), self._about)
        height, width, _ = self._picture.shape
        if self._shrink is None or self._shrink.shape != self._picture.shape:
            self._shrink = Shrinker(height, width, (0, PARTS * height))
        frame = np.empty((SIZE, SIZE, 3), np.uint8)
        self._shrink(self._picture, frame)
        return frame


def _make(about: Specification) -> gymnasium.Env[Any, Any]:
    assert about.wraps is not None, "only what wraps an environment is simulated here"
    try:
        return gymnasium.make(
            about.wraps,
            render_mode="rgb_array",
            max_episode_steps=about.cap,
            disable_env_checker=True,
        )
    except (gymnasium.error.Error, ImportError) as error:
        raise EnvironmentMissingError(
            f"{about.title} cannot start: {error} Install what it needs: {about.install}"
        ) from error


def _check(about: Specification, space: gymnasium.Space[Any]) -> None:
    """Whether the specification's actions are those of the wrapped environment."""
    actions = about.actions
    if isinstance(actions, Argmax | Thresholds):
        fits = isinstance(space, spaces.Discrete) and (space.n, space.start) == (actions.n, 0)
    else:
        fits = isinstance(space, spaces.Box) and space.shape == (actions.size,)
    if not fits:
        raise ParameterError(
            f"{about.title}: its specification says actions = {actions}, but {about.wraps} "
            f"takes {space}."
        )


def _checked(picture: Any, about: Specification) -> Frame:
    if not (
        isinstance(picture, np.ndarray)
        and picture.dtype == np.uint8
        and picture.ndim == 3
        and picture.shape[2] == 3
    ):
        raise ParameterError(
            f"{about.title}: {about.wraps} must draw uint8 (height, width, 3) with render_mode "
            f"'rgb_array', but gave {getattr(picture, 'shape', type(picture).__name__)}."
        )
    return picture
