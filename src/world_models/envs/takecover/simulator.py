"""ViZDoom's TakeCover, seen as the paper's agent saw it: 64×64, without the status bar."""

import importlib
import shutil
import weakref
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from world_models.envs.frames import SIZE
from world_models.envs.takecover.launcher import check, claim, prepare
from world_models.envs.takecover.palette import read_palette
from world_models.envs.takecover.shrink import IndexedShrinker
from world_models.envs.takecover.specification import SPECIFICATION
from world_models.errors import EnvironmentMissingError, ParameterError

THRESHOLD = 1 / 3
"""Of the action: below −1/3 left, above 1/3 right, between them stay (App. A.4)."""
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
_WITH_BAR = "640x480"

_LEFT, _STAY, _RIGHT = [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]
_SEEDS = 1 << 32

Frame = NDArray[np.uint8]


class TakeCover(gymnasium.Env[Frame, NDArray[np.float32]]):
    """ViZDoom's ``take_cover.cfg`` (skill 4, one tic a step) with frames uint8 (64, 64, 3).

    Actions are float32 (1,) in [−1, 1]: left, stay, right by thresholds at ±1/3. The reward is the
    scenario's: 1 a step. Death terminates; 2,100 steps truncate. As for the paper's agent, frames
    show what stands above the status bar (5/6 of the screen), resized by area. After the last step
    there is no screen: the frame before it is given again.

    The game is started by the constructor. Its seed is drawn as ViZDoom's own Gymnasium wrapper
    draws it, so that equal seeds and moves give equal episodes there and here, on a used
    simulator as on a new one. Episodes begin at the scenario's tic 1.

    Args:
        renderer: "fast" or "genuine": which screen the game draws, see ``SCREENS``.
        render_mode: None, or "rgb_array" for the whole screen, uint8 (height, width, 3).

    Raises:
        ParameterError: for another renderer or render mode.
        EnvironmentMissingError: ViZDoom is not installed or cannot start.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 35}  # noqa: RUF012

    def __init__(self, renderer: str = "fast", render_mode: str | None = None) -> None:
        if renderer not in SCREENS:
            known = " or ".join(SCREENS)
            raise ParameterError(f"TakeCover has no renderer {renderer!r}: choose {known}.")
        if render_mode not in (None, "rgb_array"):
            raise ParameterError(
                f'TakeCover has no render mode {render_mode!r}: choose None or "rgb_array".'
            )
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        resolution = SCREENS[renderer]
        width, height = map(int, resolution.split("x"))
        self._game, folder = _start(resolution)
        # Runs on close(), on garbage collection or at the interpreter's exit, whichever is first.
        self._stop = weakref.finalize(self, _shut, self._game, folder)
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
            gymnasium.error.ClosedEnvironmentError: after :meth:`close`.
        """
        if not self._stop.alive:
            raise gymnasium.error.ClosedEnvironmentError("TakeCover is closed: make another one.")
        super().reset(seed=seed)
        self._game.set_seed(int(self.np_random.integers(0, _SEEDS, dtype=np.uint32)))
        self._game.new_episode()
        self._steps = 0
        return self._look(self._game.get_state()), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """One tic, 1/35 s.

        Raises:
            gymnasium.error.ResetNeeded: no episode is under way.
        """
        if self._steps < 0:
            raise gymnasium.error.ResetNeeded("Call reset() before the first step of an episode.")
        value = action[0]
        move = _LEFT if value < -THRESHOLD else _RIGHT if value > THRESHOLD else _STAY
        reward = float(self._game.make_action(move, 1))
        self._steps += 1
        state = self._game.get_state()
        terminated = state is None  # the screen is gone with the player
        truncated = self._steps >= SPECIFICATION.cap and not terminated
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


def _start(resolution: str) -> tuple[Any, Path]:
    vizdoom = _vizdoom()
    package = Path(vizdoom.__file__).parent
    check(package / "vizdoom")
    folder, executable = prepare(package / "vizdoom")
    game = vizdoom.DoomGame()
    game.load_config(str(Path(vizdoom.scenarios_path) / "take_cover.cfg"))
    game.set_vizdoom_path(str(executable))
    game.set_doom_config_path(str(folder / "game.ini"))
    game.set_doom_game_path(str(package / "freedoom2.wad"))
    game.set_doom_skill(4)
    game.set_episode_timeout(0)
    game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{resolution.upper()}"))
    # Indices into the palette, as Doom draws them: turning them to RGB costs the game a quarter of
    # its time. Flashes are off in the scenario, so that the palette never changes.
    game.set_screen_format(vizdoom.ScreenFormat.DOOM_256_COLORS8)
    game.set_render_screen_flashes(False)
    game.set_render_hud(resolution == _WITH_BAR)
    if resolution != _WITH_BAR:
        # One column at a time instead of four: the same picture, sooner where columns are short.
        game.add_game_args("+r_columnmethod 0")
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.clear_available_game_variables()
    game.init()
    claim(folder, game.get_instance_id())
    return game, folder


def _vizdoom() -> Any:
    try:
        return importlib.import_module("vizdoom")
    except ImportError as error:
        raise EnvironmentMissingError(
            f"TakeCover needs ViZDoom, which cannot be imported: {error}. Install it with "
            "`pip install vizdoom`; where there is no wheel it builds from source, which needs "
            "https://vizdoom.farama.org/introduction/building/#dependencies"
        ) from error


def _shut(game: Any, folder: Path) -> None:
    game.close()
    shutil.rmtree(folder, ignore_errors=True)
