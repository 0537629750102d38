"""A scenario of ViZDoom, seen as the paper's agent saw Doom: 64×64, without the status bar."""

import ctypes
import os
import weakref
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from world_models.envs.actions import checked
from world_models.envs.doom import game
from world_models.envs.doom.game import Scenario
from world_models.envs.doom.palette import read_palette
from world_models.envs.doom.shrink import IndexedShrinker
from world_models.envs.frames import SIZE
from world_models.envs.specification import Specification
from world_models.errors import ParameterError

SCREENS = {"fast": "160x120", "genuine": "640x480"}
"""The smallest screen that ViZDoom draws, and the one that the paper's agent saw."""
WINDOWS = {"160x120": (37, 437), "640x480": (0, 1600)}
"""Top and bottom of what is kept, in quarters of a row: the paper's rows 0 to 400 of 480.

Only the large screen has a status bar. Drawing it costs the game an eighth of its time. Without it
the view fills the screen around the same horizon: rows 10 to 110 of 120 are what stands above a
bar, but for a dozen pixels along a near wall's edge, where it leaves the view.

ViZDoom rounds the height of its view, to 100 and 403 rows, so the horizon is not at the same share
of both. Shifted by −0.75 rows the small one shows what the large one shows: the mean difference of
the 64×64 frames falls from 4.0 to 3.4 of 255.
"""
_SEEDS = 1 << 32

Frame = NDArray[np.uint8]


class Doom(gymnasium.Env[Frame, NDArray[np.float32]]):
    """One scenario with frames uint8 (64, 64, 3), one tic (1/35 s) a step.

    The reward is the scenario's. Death terminates; the specification's cap truncates. As for the
    paper's agent, frames show what stands above the status bar (5/6 of the screen), resized by
    area. After the last step there is no screen: the frame before it is given again.

    The game is started by the constructor and belongs to that process: in one that is forked later
    the simulator counts as closed. The game's seed is drawn as ViZDoom's own Gymnasium wrapper
    draws it, so that equal seeds and moves give equal episodes there and here, on a used simulator
    as on a new one.

    Args:
        scenario: what is played.
        about: the environment's specification.
        renderer: "fast" or "genuine": which screen the game draws, see ``SCREENS``.
        render_mode: None, or "rgb_array" for the whole screen, uint8 (height, width, 3).

    Raises:
        ParameterError: for another renderer or render mode.
        EnvironmentMissingError: ViZDoom is not installed or cannot start.
        SimulatorDiedError: the game's process ended at its start.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 35}  # noqa: RUF012

    def __init__(
        self, scenario: Scenario, about: Specification, renderer: str, render_mode: str | None
    ) -> None:
        if renderer not in SCREENS:
            known = " or ".join(SCREENS)
            raise ParameterError(f"{about.title} has no renderer {renderer!r}: choose {known}.")
        if render_mode not in (None, "rgb_array"):
            raise ParameterError(
                f'{about.title} has no render mode {render_mode!r}: choose None or "rgb_array".'
            )
        self.render_mode = render_mode
        self._about, self._moves = about, scenario.moves
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.action_space = spaces.Box(about.actions.low, about.actions.high, dtype=np.float32)
        resolution = SCREENS[renderer]
        width, height = map(int, resolution.split("x"))
        self._game, folder = game.start(scenario, resolution, about.title)
        # Runs on close(), on garbage collection or at the interpreter's exit, whichever is first.
        self._stop = weakref.finalize(self, game.stop, self._game, folder)
        _RUNNING.add(self)
        self._palette = read_palette(Path(self._game.get_doom_game_path()))
        self._shrink = IndexedShrinker(height, width, WINDOWS[resolution], self._palette)
        self._screen = np.zeros((height, width), np.uint8)
        self._frame = np.empty((SIZE, SIZE, 3), np.uint8)
        self._steps = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """Start an episode; equal seeds and actions give equal episodes.

        Raises:
            gymnasium.error.ClosedEnvironmentError: after :meth:`close`, or in a forked process.
            SimulatorDiedError: the game's process is gone.
        """
        if not self._stop.alive:
            raise gymnasium.error.ClosedEnvironmentError(
                f"{self._about.title} is closed, or belongs to the process that this one was "
                "forked from: make another one."
            )
        super().reset(seed=seed)
        with game.watched():
            self._game.set_seed(int(self.np_random.integers(0, _SEEDS, dtype=np.uint32)))
            self._game.new_episode()
        self._steps = 0
        return self._look(self._game.get_state()), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """One tic, 1/35 s.

        Raises:
            gymnasium.error.ResetNeeded: no episode is under way.
            gymnasium.error.InvalidAction: the action has another shape, or is not finite.
            SimulatorDiedError: the game's process is gone.
        """
        if self._steps < 0:
            raise gymnasium.error.ResetNeeded("Call reset() before the first step of an episode.")
        vector = checked(action, self._about.actions.size)
        move = self._moves[int(self._about.native(vector))]
        with game.watched():
            reward = float(self._game.make_action(move, 1))
        self._steps += 1
        state = self._game.get_state()
        terminated = state is None  # the screen is gone with the player
        truncated = self._steps >= self._about.cap and not terminated
        frame = self._frame.copy() if terminated else self._look(state)
        if terminated or truncated:
            self._steps = -1
        return frame, reward, terminated, truncated, {}

    def render(self) -> Any:
        """The whole screen, uint8 (height, width, 3), or None without a render mode."""
        return self._palette[self._screen] if self.render_mode else None

    def close(self) -> None:
        """End the game's process and remove its folder."""
        self._stop()
        self._steps = -1

    def _look(self, state: Any) -> Frame:
        self._screen = state.screen_buffer
        self._frame = np.empty((SIZE, SIZE, 3), np.uint8)
        self._shrink(self._screen, self._frame)
        return self._frame

    def _disown(self) -> None:
        """Count as closed in a forked process, without ending the game, which is the parent's."""
        if self._stop.detach():
            self._steps = -1
            # ViZDoom would end the game on garbage collection too: never let that come.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._game))


_RUNNING: "weakref.WeakSet[Doom]" = weakref.WeakSet()


def _disown_all() -> None:
    for simulator in list(_RUNNING):
        simulator._disown()


os.register_at_fork(after_in_child=_disown_all)
