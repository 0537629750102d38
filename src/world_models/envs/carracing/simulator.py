"""Gymnasium's CarRacing-v3, seen as the paper's agent saw it: 64×64, without the dashboard."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from world_models.envs.actions import checked
from world_models.envs.carracing.disturbed import UNCHANGED, Disturbed, draw
from world_models.envs.carracing.genuine import car_racing
from world_models.envs.carracing.laps import Lap
from world_models.envs.carracing.physics import Game
from world_models.envs.carracing.picture import Pictured
from world_models.envs.carracing.raster import COLUMNS, ROWS
from world_models.envs.carracing.renderer import Renderer
from world_models.envs.carracing.specification import SPECIFICATION
from world_models.envs.disturbance import NONE, Disturbance, renewed
from world_models.envs.frames import PARTS, SIZE
from world_models.envs.shrinker import Shrinker
from world_models.errors import ParameterError

Frame = NDArray[np.uint8]
_shrink = Shrinker(COLUMNS, COLUMNS, (0, PARTS * ROWS))


class CarRacing(gymnasium.Env[Frame, NDArray[np.float32]]):
    """CarRacing-v3 with frames uint8 (64, 64, 3) and actions float32 (3,): steering, gas, brake.

    A frame is Gymnasium's 96×96 picture, rows 0–83, resized by area (paper, section 3 and the
    authors' code). Rewards, ends and the car are Gymnasium's, bit for bit, with either renderer.
    An episode ends when all tiles are visited, off the field, or after 1,000 steps; see
    :mod:`~world_models.envs.carracing.laps`, whose numbers the last step's ``info`` holds as
    ``episode_figures``.

    Args:
        renderer: "fast" draws the small frame alone; "genuine" shrinks Gymnasium's own picture.
        render_mode: None, or "rgb_array" for Gymnasium's 400×600 picture, dashboard included.
        disturbance: see :mod:`~world_models.envs.carracing.disturbed`. With the fast renderer the
            large picture does not show it.

    Raises:
        ParameterError: for another renderer or render mode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": car_racing.FPS}  # noqa: RUF012

    def __init__(
        self,
        renderer: str = "fast",
        render_mode: str | None = None,
        disturbance: Disturbance = NONE,
    ) -> None:
        if renderer not in SPECIFICATION.renderers:
            raise ParameterError(
                f'CarRacing has no renderer {renderer!r}: choose "fast" or "genuine"'
            )
        if render_mode not in (None, "rgb_array"):
            raise ParameterError(
                f'CarRacing has no render mode {render_mode!r}: choose None or "rgb_array"'
            )
        self.renderer = renderer
        self.render_mode = render_mode
        self._fast = Renderer() if renderer == "fast" else None
        self._disturbance = disturbance
        self._rng: np.random.Generator | None = None
        genuine = Pictured if disturbance == NONE else Disturbed
        self.game: Any = Game(render_mode) if self._fast else genuine(render_mode)
        self.action_space = self.game.action_space
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """A new track; the same seed gives the same track and, with the same actions, episode."""
        super().reset(seed=seed)
        self.game.np_random = self.np_random
        self._steps = 0
        changes = UNCHANGED
        if self._disturbance != NONE:
            self._rng = renewed(self._rng, seed)
            self.game.changes = changes = draw(self._disturbance, self._rng)
        picture, info = self.game.reset(options=options)
        if self._fast:
            self._fast.begin(self.game)
        self._lap = Lap(self.game, backwards=changes.turn > 0.5)
        return self._frame(picture), info

    def step(self, action: NDArray[np.float32]) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """One fiftieth of a second.

        Raises:
            gymnasium.error.InvalidAction: the action is not three finite numbers.
        """
        picture, reward, terminated, _, info = self.game.step(checked(action, 3))
        self._steps += 1
        self._lap.step()
        truncated = self._steps >= SPECIFICATION.cap
        if terminated or truncated:
            finished = bool(info.get("lap_finished"))
            left = bool(terminated) and not finished
            info["episode_figures"] = self._lap.figures(finished=finished, left_field=left)
        return self._frame(picture), float(reward), bool(terminated), truncated, info

    def _frame(self, picture: Frame | None) -> Frame:
        frame = np.empty((SIZE, SIZE, 3), np.uint8)
        if self._fast is None:
            assert picture is not None
            _shrink(picture, frame)
        else:
            self._fast.draw(self.game, frame)
        return frame

    def render(self) -> Any:
        """Gymnasium's picture, uint8 (400, 600, 3), or None without a render mode."""
        return self.game.render() if self.render_mode else None

    def close(self) -> None:
        """Nothing stays open: no window was shown."""
        self.game.close()
