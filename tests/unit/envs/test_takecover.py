"""TakeCover against ViZDoom's own Gymnasium wrapper, and what the game's process may leave."""

import contextlib
import gc
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import doom_work
import gymnasium
import numpy as np
import psutil
import pytest
from test_takecover_frames import exact

from world_models.engine.api import Task
from world_models.engine.processes import ProcessEngine
from world_models.envs.doom import launcher
from world_models.envs.doom.launcher import check, check_shared
from world_models.envs.doom.simulator import SCREENS, WINDOWS
from world_models.envs.frames import SIZE
from world_models.envs.takecover.simulator import TakeCover
from world_models.errors import EnvironmentMissingError, ParameterError, SimulatorDiedError

LEFT, STAY, RIGHT = (np.array([a], np.float32) for a in (-1, 0, 1))


@pytest.fixture(scope="module")
def env():
    simulator = TakeCover(render_mode="rgb_array")
    yield simulator
    simulator.close()


def actions(seed, steps):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 1)).astype(np.float32)


def trajectory(env, seed, moves):
    """Frames, rewards and ends until the episode is over or the moves are."""
    frame, _ = env.reset(seed=seed)
    found = [(frame.tobytes(), 0.0, False, False)]
    for move in moves:
        frame, reward, terminated, truncated, _ = env.step(move)
        found.append((frame.tobytes(), reward, terminated, truncated))
        if terminated or truncated:
            break
    return found


def stock(resolution, **settings):
    """ViZDoom's own wrapper."""
    import vizdoom
    import vizdoom.gymnasium_wrapper

    return gymnasium.make(
        "VizdoomTakeCover-v1",
        disable_env_checker=True,
        screen_resolution=getattr(vizdoom.ScreenResolution, f"RES_{resolution.upper()}"),
        doom_config_path=str(Path(tempfile.mkdtemp()) / "game.ini"),
        **settings,
    )


def choice(move):
    """The same move for ViZDoom's own wrapper."""
    return 2 if move[0] < -1 / 3 else 1 if move[0] > 1 / 3 else 0


def test_equals_vizdoom_s_own_wrapper(env):
    peer = stock("160x120")
    for seed in (7, 8):
        moves = actions(seed, 2100)
        theirs, _ = peer.reset(seed=seed)
        frame, _ = env.reset(seed=seed)
        for move in moves:
            np.testing.assert_array_equal(env.render(), theirs["screen"])
            np.testing.assert_array_equal(frame, exact(theirs["screen"], WINDOWS["160x120"]))
            theirs, *stock_end, _ = peer.step(choice(move))
            frame, *end, _ = env.step(move)
            assert end == stock_end
            if end[1]:
                break
        assert end[1], "played to the end"
    peer.close()


@pytest.mark.parametrize(
    ("renderer", "view", "shift", "share"), [("fast", 100, 10, 0.002), ("genuine", 480, 0, 0.0)]
)
def test_shows_what_stands_above_the_status_bar(renderer, view, shift, share):
    """The game rounds edges of near walls a little differently in views of different heights."""
    peer, ours = stock(SCREENS[renderer], render_hud=True), TakeCover(renderer, "rgb_array")
    theirs, _ = peer.reset(seed=0)
    ours.reset(seed=0)
    moves = np.random.default_rng(0).uniform(-1, 1, 310)  # at last beside a wall
    differ = []
    for value in moves:
        screen = ours.render()[shift : shift + view]
        differ.append((screen != theirs["screen"][:view]).any(axis=-1).mean())
        theirs, _, done, *_ = peer.step(choice([value]))
        ours.step(np.array([value], np.float32))
        assert not done
    assert max(differ) <= share
    assert np.mean(differ[:280]) == 0
    peer.close()
    ours.close()


def test_equal_seeds_give_equal_episodes_on_used_simulators(env):
    moves = actions(0, 2100)
    first = trajectory(env, 5, moves)
    assert first[-1][2], "played to the end"
    trajectory(env, 6, moves)
    trajectory(env, 9, moves[:40])  # left half-way
    assert trajectory(env, 5, moves) == first
    other = TakeCover()
    assert trajectory(other, 5, moves) == first
    other.close()


def test_seeds_differ_and_unseeded_resets_go_on(env):
    moves = [STAY] * 120
    one, two = trajectory(env, 1, moves), trajectory(env, 2, moves)
    assert one != two
    unseeded = trajectory(env, None, moves)
    assert unseeded != two
    trajectory(env, 2, moves)
    assert trajectory(env, None, moves) == unseeded


def test_thresholds(env):
    def after(value):
        return trajectory(env, 3, [np.array([value], np.float32)] * 30)

    left, stay, right = after(-1), after(0), after(1)
    assert left != stay
    assert stay != right
    assert left != right
    assert after(-0.34) == left
    assert after(-0.33) == stay
    assert after(0.33) == stay
    assert after(0.34) == right


def test_left_is_left(env):
    """Who steps to the left sees the room move to the right: its left wall comes nearer."""

    def wall(move):
        frame, _ = env.reset(seed=0)
        for _ in range(60):
            frame, *_ = env.step(move)
        return (frame[10, :, 0].astype(int) - frame[10, :, 2] > 12).nonzero()[0]

    assert wall(LEFT).mean() < SIZE / 2 < wall(RIGHT).mean()


def test_reward_is_one_a_step_and_the_last_frame_is_given_again(env):
    found = trajectory(env, 4, actions(4, 2100))
    frames, rewards, terminated, truncated = zip(*found, strict=True)
    assert set(rewards[1:]) == {1.0}
    assert terminated[-1]
    assert not any(terminated[:-1])
    assert not any(truncated)
    assert frames[-1] == frames[-2]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(STAY)


@pytest.mark.slow
def test_the_cap_truncates_and_is_no_death(env):
    env.reset(seed=0)
    env._game.send_game_command("god")
    for step in range(1, 2100 + 1):
        _, reward, terminated, truncated, _ = env.step(STAY)
        assert not terminated
        assert reward == 1.0
        assert truncated == (step == 2100)


def test_render_gives_the_whole_screen():
    simulator = TakeCover("genuine", "rgb_array")
    simulator.reset(seed=0)
    assert simulator.render().shape == (480, 640, 3)
    simulator.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        simulator.reset(seed=0)


def test_unknown_choices_are_refused():
    with pytest.raises(ParameterError, match="rgb_array"):
        TakeCover(render_mode="human")
    with pytest.raises(ParameterError, match="genuine"):
        TakeCover("slow")


def test_without_vizdoom(monkeypatch):
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(EnvironmentMissingError, match="pip install vizdoom"):
        TakeCover()


def test_a_game_without_its_libraries(tmp_path):
    with pytest.raises(EnvironmentMissingError, match="cannot be executed"):
        check(tmp_path / "vizdoom")
    library, game = tmp_path / "libabsent.so", tmp_path / "game"
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    for source, words in (
        ("int f(void) { return 0; }", ["-shared", "-o", str(library)]),
        ("int f(void); int main(void) { return f(); }", ["-o", str(game), str(library)]),
    ):
        command = [compiler, "-x", "c", "-", "-x", "none", *words]
        subprocess.run(command, input=source, text=True, check=True)
    check(game)
    library.unlink()
    check.cache_clear()
    with pytest.raises(EnvironmentMissingError, match=r"libabsent\.so"):
        check(game)


def games(process):
    return [child for child in process.children(recursive=True) if "vizdoom" in child.name()]


def gone(game, seconds=5.0):
    return not psutil.wait_procs([game], seconds)[1]


def test_forgotten_simulators_end_their_game_and_remove_their_folder():
    before = games(psutil.Process())
    simulator = TakeCover()
    (game,) = set(games(psutil.Process())) - set(before)
    folder = Path(game.cwd())
    del simulator
    gc.collect()
    assert gone(game)
    assert not folder.exists()


PLAYS = """
import numpy as np, sys
from world_models.envs.vector import Lockstep
games = Lockstep("takecover", 2, "fast")
games.reset(seed=[1, 2])
print("playing", flush=True)
while "on" in sys.argv:
    games.step(np.zeros((2, 1), np.float32))
    if not games.live.any():
        games.reset(seed=[1, 2])
"""


def player(folder, *words):
    temporary = folder / "temporary"
    temporary.mkdir()
    work = folder / "work"
    work.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", PLAYS, *words],
        cwd=work,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "playing\n", process.stderr.read()
    return process, work, temporary


def test_no_files_are_left(tmp_path):
    process, work, temporary = player(tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert not list(work.iterdir())
    assert not list(temporary.glob("*/*"))


@pytest.mark.parametrize("call", ["step", "reset"])
def test_a_killed_game_is_told_apart_from_other_faults(call):
    before = games(psutil.Process())
    with contextlib.closing(TakeCover()) as env:
        env.reset(seed=1)
        (game,) = set(games(psutil.Process())) - set(before)
        game.kill()
        assert gone(game)
        with pytest.raises(SimulatorDiedError, match="Doom's own process is gone"):
            env.step(np.zeros(1, np.float32)) if call == "step" else env.reset(seed=2)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the games on Linux alone")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_game_outlives_its_player(tmp_path, number):
    process, work, _ = player(tmp_path, "on")
    running = games(psutil.Process(process.pid))
    assert len(running) == 2
    start = time.monotonic()
    os.killpg(process.pid, number)  # the whole group, as Ctrl-C on a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -number
    assert time.monotonic() - start < 10
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
    assert all(gone(game) for game in running)
    assert not list(work.iterdir())


SHARED = Path("/dev/shm")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="shared memory has files on Linux alone")


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.02)
    return condition()


def memory(*notes):
    """The files of the games that were started with these arguments."""
    texts = [note.read_text() for note in notes if note.exists()]
    names = [text.partition("+viz_instance_id ")[2].split()[0] for text in texts]
    return [path for name in names for path in SHARED.glob(f"ViZDoom*{name}")]


STARTS = """
import sys
import gymnasium
import world_models
from world_models.envs.doom import launcher
launcher._WATCH = launcher._WATCH.replace("{game}", sys.argv[1])
try:
    gymnasium.make("WorldModels/TakeCover-v1")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""
"""Something else runs in the game's place."""


def starting(folder, lines):
    game, temporary = folder / "game", folder / "temporary"
    game.write_text(f'#!/bin/sh\necho "$*" > {folder}/arguments\n{lines}\n')
    game.chmod(0o700)
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS, str(game)],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, temporary


@LINUX
@pytest.mark.parametrize("moment", ["playing", "starting"])
def test_what_a_killed_player_left_is_swept_by_the_next(tmp_path, moment):
    if moment == "playing":
        process, _, temporary = player(tmp_path, "on")
    else:
        process, temporary = starting(tmp_path, "exec sleep 60")
        assert until((tmp_path / "arguments").exists)
    found = memory(*temporary.glob("*/vizdoom-*/arguments"))
    process.kill()
    process.communicate(timeout=60)
    assert len(found) == (6 if moment == "playing" else 2)
    assert all(path.exists() for path in found)
    environment = os.environ | {"TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", PLAYS], env=environment, check=True)
    assert not any(path.exists() for path in found)
    assert not list(temporary.glob("*/*"))


@LINUX
@pytest.mark.parametrize(("lines", "code"), [("exit 1", 1), ("sleep 0.1; kill -KILL $$", 137)])
def test_a_game_that_ends_at_its_start_is_told_in_one_line(tmp_path, lines, code):
    process, temporary = starting(tmp_path, lines)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    told = f"SimulatorDiedError: Doom's own process ended at its start (exit code {code})\n"
    assert said == told
    assert (tmp_path / "arguments").exists()
    assert not memory(tmp_path / "arguments")
    assert not list(temporary.glob("*/*"))


@LINUX
def test_ctrl_c_at_a_game_s_start_leaves_nothing(tmp_path):
    process, temporary = starting(tmp_path, "exec sleep 60")
    assert until((tmp_path / "arguments").exists)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert not memory(tmp_path / "arguments")
    assert not list(temporary.glob("*/*"))


@LINUX
def test_a_unit_whose_game_ends_at_its_start_is_done_again(tmp_path, capfd):
    with ProcessEngine(workers=1, timeout=60) as engine:
        task = Task(None, tmp_path / "flag", doom_work.play_after_a_death)
        assert dict(engine.run(task, range(2))) == {0: 1.0, 1: 1.0}
    said = capfd.readouterr().err
    assert "Doom's own process ended at its start" in said
    assert "lost its worker (its simulator died)" in said


FORKS = """
import gc, os, signal, sys
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from world_models.envs.takecover.simulator import TakeCover
env = TakeCover()
env.reset(seed=1)
for end in ("exit", "close", "forget", "play"):
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        if end == "close":
            env.close()
        elif end == "forget":
            del env
            gc.collect()
        elif end == "play":
            try:
                env.step(np.zeros(1, np.float32))
            except ResetNeeded:
                pass
            try:
                env.reset()
            except ClosedEnvironmentError:
                sys.exit(7)
        sys.exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == (7 if end == "play" else 0), (end, code)
    assert env.step(np.zeros(1, np.float32))[1] == 1.0, end
env.close()
"""


@LINUX
def test_a_fork_leaves_the_game_to_its_maker(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", FORKS], env=environment, check=True, timeout=60)
    assert not list(tmp_path.glob("*/*"))


def test_without_shared_memory(tmp_path):
    with pytest.raises(EnvironmentMissingError, match="Mount it: mount -t tmpfs"):
        check_shared(tmp_path / "absent")


@LINUX
def test_too_little_shared_memory_is_told_with_the_cure(tmp_path):
    """In a mount namespace of its own: nobody else's shared memory changes."""
    private = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no private namespaces here")
    script = 'mount -t tmpfs -o size=16k tmpfs /dev/shm && exec "$@"'
    command = [*private, "sh", "-c", script, "sh", sys.executable, "-c", STARTS, "{game}"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("EnvironmentMissingError: ViZDoom's game needs 1024 KB")
    assert "/dev/shm has 16 KB free" in done.stdout
    assert "docker run --shm-size" in done.stdout


@pytest.mark.parametrize(
    "note",
    [
        "+viz_instance_id ../../victim",
        "+viz_instance_id /../victim",
        "+viz_instance_id victim/",
        "+viz_instance_id *",
        '{"instance": "victim"}',
        "+viz_instance_id",
        "",
        b"\xff\xfe",
        None,
    ],
)
def test_a_planted_note_removes_nothing(tmp_path, monkeypatch, note):
    shared, folder = tmp_path / "shm", tmp_path / "folder"
    folder.mkdir()
    (shared / "ViZDoomSM").mkdir(parents=True)
    victims = [tmp_path / "victim", shared / "victim", shared / "ViZDoomSMother"]
    for victim in victims:
        victim.touch()
    monkeypatch.setattr(launcher, "SHARED", shared)
    if note is None:
        os.mkfifo(folder / "arguments")
    else:
        (folder / "arguments").write_bytes(note if isinstance(note, bytes) else note.encode())
    launcher.remove_memory(folder)
    assert all(victim.exists() for victim in victims)
    (folder / "arguments").unlink()
    (folder / "arguments").write_text("-x +viz_instance_id other +y")
    launcher.remove_memory(folder)
    assert [victim.exists() for victim in victims] == [True, True, False]


def test_memory_of_games_whose_folder_is_gone_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "SHARED", tmp_path)
    kept = ["ViZDoomSMopen", "ViZDoomSMyoung", "ViZDoomSMother", "ViZDoomSM-odd", "ViZDoomNotes"]
    gone = ["ViZDoomSMgone", "ViZDoomMQCtrgone", "ViZDoomMQDoomgone"]
    for name in kept + gone:
        path = tmp_path / name
        path.write_bytes(b"x" * 4096)
        os.utime(path, (0, time.time() if "young" in name else 0))
    other = (tmp_path / "ViZDoomSMother").stat().st_ino
    monkeypatch.setattr(launcher.owned, "is_own", lambda found: found.st_ino != other)
    with (
        (tmp_path / "ViZDoomSMopen").open("r+b") as file,
        mmap.mmap(file.fileno(), 4096),
    ):
        launcher.sweep_memory.cache_clear()
        launcher.sweep_memory()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
