"""Starts ViZDoom's game with a scenario of the package."""

import importlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from world_models.envs.doom.launcher import (
    check,
    check_shared,
    ended,
    note_started,
    prepare,
    remove_memory,
)
from world_models.errors import EnvironmentMissingError, SimulatorDiedError
from world_models.storage.owned import Owned

_LOOK = 0.02
"""Seconds between two looks at whether a game that starts has ended."""
WITH_BAR = "640x480"
"""The resolution at which the status bar is drawn, as the paper's agent saw it."""


@dataclass(frozen=True)
class Scenario:
    """One of the scenarios that ViZDoom's package holds.

    Attributes:
        config: the file's name.
        skill: Doom's difficulty, 1 to 5.
        moves: for each action, by its index, which of the scenario's buttons are pressed.
    """

    config: str
    skill: int
    moves: Sequence[Sequence[float]]


def start(scenario: Scenario, resolution: str, title: str) -> tuple[Any, Owned]:
    """Start the game.

    Args:
        scenario: what is played.
        resolution: of the screen, such as ``160x120``.
        title: the environment's name, for error messages.

    Returns:
        ViZDoom's game, and the folder of its own that :func:`stop` removes.

    Raises:
        EnvironmentMissingError: ViZDoom is not installed or cannot start.
        SimulatorDiedError: the game's process ended at its start.
    """
    vizdoom = _vizdoom(title)
    package = Path(vizdoom.__file__).parent
    check(package / "vizdoom")
    check_shared()
    folder, executable = prepare(package / "vizdoom")
    game = vizdoom.DoomGame()
    game.load_config(str(Path(vizdoom.scenarios_path) / scenario.config))
    game.set_vizdoom_path(str(executable))
    game.set_doom_config_path(str(folder.path / "game.ini"))
    game.set_doom_game_path(str(package / "freedoom2.wad"))
    game.set_doom_skill(scenario.skill)
    game.set_episode_timeout(0)
    game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{resolution.upper()}"))
    # Indices into the palette, as Doom draws them: turning them to RGB costs the game a quarter of
    # its time. Flashes are off in the scenarios, so that the palette never changes.
    game.set_screen_format(vizdoom.ScreenFormat.DOOM_256_COLORS8)
    game.set_render_screen_flashes(False)
    game.set_render_hud(resolution == WITH_BAR)
    if resolution != WITH_BAR:
        # One column at a time instead of four: the same picture, sooner where columns are short.
        game.add_game_args("+r_columnmethod 0")
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.clear_available_game_variables()
    _begin(game, folder)
    return game, folder


def _begin(game: Any, folder: Owned) -> None:
    """Let ViZDoom start the game's process, in a thread that can be left alone."""
    faults: list[BaseException] = []

    def init() -> None:
        try:
            game.init()
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=init, daemon=True)
    thread.start()
    try:
        _await(thread, folder.path, faults)
        note_started(folder.path, game.get_instance_id())
        _check_lives(folder.path)
    except BaseException:
        _give_up(game, thread, folder)
        raise


def _give_up(game: Any, thread: threading.Thread, folder: Owned) -> None:
    """Leave nothing of a game that was not to be, whether it is starting still or has ended."""
    # A thread that waits for a game that has ended does so for ever, and so would close(); a game
    # that is starting is ended by close(), and the thread with it.
    if ended(folder.path) is None or not thread.is_alive():
        game.close()
    remove_memory(folder.path)
    folder.remove()


def _await(thread: threading.Thread, folder: Path, faults: list[BaseException]) -> None:
    while thread.is_alive():
        thread.join(_LOOK)
        if thread.is_alive():
            _check_lives(folder)
    if faults:
        raise faults[0]


def _check_lives(folder: Path) -> None:
    code = ended(folder)
    if code is not None:
        raise SimulatorDiedError(f"Doom's own process ended at its start (exit code {code})")


def stop(game: Any, folder: Owned) -> None:
    """End the game's process and remove its folder."""
    game.close()
    folder.remove()


@contextmanager
def watched() -> Iterator[None]:
    """Around calls of a running game.

    Raises:
        SimulatorDiedError: the game's process is gone.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("vizdoom"):
            raise
        raise SimulatorDiedError(f"Doom's own process is gone: {error}") from error


def _vizdoom(title: str) -> Any:
    try:
        return importlib.import_module("vizdoom")
    except ImportError as error:
        raise EnvironmentMissingError(
            f"{title} needs ViZDoom, which cannot be imported: {error}. Install it with "
            "`pip install vizdoom`; where there is no wheel it builds from source, which needs "
            "https://vizdoom.farama.org/introduction/building/#dependencies"
        ) from error
