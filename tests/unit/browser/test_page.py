"""The page as a file, and the commands that write and serve it."""

import http.client
import io
import json
import re
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_agents import ASSETS, ROOT

from world_models import cli
from world_models.agent import PARTS, Agent
from world_models.browser import game
from world_models.browser import page as pages
from world_models.browser.serve import HOST, server
from world_models.commands import play
from world_models.errors import EnvironmentMissingError, SimulatorDiedError, UserError
from world_models.stages import command
from world_models.stages.command import Input
from world_models.storage.artifact import open_artifact

FRAMES = np.random.default_rng(2).integers(0, 256, (20, 64, 64, 3), np.uint8)


@pytest.fixture
def recorded(monkeypatch):
    """No simulator is started; the seeds that were asked for."""
    seeds = []

    def record(_, seed):
        seeds.append(seed)
        return game.Clip(game.sheet(FRAMES), len(FRAMES), 17.5)

    monkeypatch.setattr(game, "record", record)
    return seeds


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return int(ended.value.code or 0)


def told(page: bytes, name: str) -> str:
    """What one of the page's script elements holds."""
    (found,) = re.findall(rb'<script type="[^"]*" id="%s">(.*?)</script>' % name.encode(), page)
    return found.decode()


def test_export_writes_one_file_and_says_how_large(models, recorded, tmp_path, capsys):
    site = tmp_path / "new" / "site"
    assert run("export", "takecover", "--models", str(models), "--out", str(site)) == 0
    assert [path.name for path in site.iterdir()] == ["index.html"]
    said = capsys.readouterr()
    assert f"{site}/index.html: " in said.out
    assert f"the page is of the agent in {models}" in said.err
    assert recorded == [game.SEED]
    content = (site / "index.html").read_bytes()
    assert content.startswith(b"<!doctype html>")
    assert b"{{" not in content
    model = json.loads(told(content, "model"))
    assert (model["environment"], model["ends"], model["fps"]) == ("takecover", "threshold", 35)
    assert model["clip"] == {"frames": 20, "columns": game.COLUMNS, "fps": 17.5}
    again = tmp_path / "again"
    assert run("export", "takecover", "--models", str(models), "--out", str(again)) == 0
    assert (again / "index.html").read_bytes() == content


@pytest.mark.parametrize("environment", ["takecover", "carracing"])
def test_released_agents_make_a_page_below_20_mb(environment, recorded, tmp_path):
    folder = ROOT / "released" / environment
    assert run("export", environment, "--models", str(folder), "--out", str(tmp_path)) == 0
    assert (tmp_path / "index.html").stat().st_size < 10e6 < pages.LARGEST
    model = json.loads(told((tmp_path / "index.html").read_bytes(), "model"))
    assert model["ends"] == {"takecover": "drawn", "carracing": "threshold"}[environment]
    assert model["columns"].keys() == {"takecover": {"end"}, "carracing": {"reward"}}[environment]


def test_options_are_followed(models, recorded, tmp_path):
    options = ("--models", str(models), "--out", str(tmp_path), "--ends", "drawn", "--seed", "5")
    assert run("export", "takecover", *options) == 0
    assert recorded == [5]
    assert json.loads(told((tmp_path / "index.html").read_bytes(), "model"))["ends"] == "drawn"


def test_nothing_comes_from_elsewhere():
    for path in ASSETS.iterdir():
        if path.suffix != ".wasm":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(https?:)?//[\w-]+\.\w", text), path
            assert not re.search(r"\bimport\b|\bfetch\(|XMLHttpRequest|<link rel=\"style", text), (
                path
            )
    policy = re.search(
        r'Content-Security-Policy" content="([^"]*)"', ASSETS.joinpath("index.html").read_text()
    )
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert not re.search(r"'self'|https?:|\*", policy[1])


def test_an_earlier_export_is_replaced_and_its_neighbours_stay(models, recorded, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    words = ("export", "takecover", "--models", str(models), "--out", str(tmp_path))
    assert run(*words) == 0
    assert run(*words, "--ends", "drawn") == 0
    assert json.loads(told((tmp_path / "index.html").read_bytes(), "model"))["ends"] == "drawn"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_page_of_somebody_else_is_not_overwritten(models, recorded, tmp_path, capsys):
    (tmp_path / "index.html").write_text("<p>my home page")
    assert run("export", "takecover", "--models", str(models), "--out", str(tmp_path)) == 2
    assert "its index.html is no earlier export, and would be lost" in capsys.readouterr().err
    assert (tmp_path / "index.html").read_text() == "<p>my home page"
    assert recorded == []  # nothing was done before


def test_a_file_in_place_of_the_folder_is_refused(models, tmp_path, capsys):
    file = tmp_path / "page.html"
    file.write_text("mine")
    assert run("export", "takecover", "--models", str(models), "--out", str(file)) == 2
    assert "that is a file. Name a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_a_missing_agent_is_one_line(tmp_path, capsys):
    words = ("export", "takecover", "--models", str(tmp_path / "no"), "--out", str(tmp_path / "x"))
    assert run(*words) == 2
    assert "it lacks vae, mdnrnn, controller" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_without_a_simulator_the_page_goes_without_frames(models, tmp_path, monkeypatch, capsys):
    def missing(*_):
        raise EnvironmentMissingError("no ViZDoom here")

    monkeypatch.setattr(game, "record", missing)
    assert run("export", "takecover", "--models", str(models), "--out", str(tmp_path)) == 0
    assert "goes without frames of the game: no ViZDoom here" in capsys.readouterr().err
    content = (tmp_path / "index.html").read_bytes()
    assert json.loads(told(content, "model"))["clip"] is None
    assert told(content, "clip") == ""


def test_text_cannot_end_a_script_early(models, recorded, monkeypatch):
    agent = Agent.load(models)
    exported = pages.weights.export(agent, "drawn")
    spoilt = exported._replace(model=exported.model | {"title": "</script><script>alert(1)"})
    monkeypatch.setattr(pages.weights, "export", lambda *_: spoilt)
    content = pages.page(agent, "drawn", None)
    assert json.loads(told(content, "model"))["title"].startswith("</script>")
    assert content.count(b"</script>") == 5


def test_frames_lie_row_by_row_on_the_sheet():
    flat = np.repeat(np.arange(0, 160, 8, np.uint8), 64 * 64 * 3).reshape(20, 64, 64, 3)
    sheet = np.asarray(Image.open(io.BytesIO(game.sheet(flat))))
    assert sheet.shape == (2 * 64, game.COLUMNS * 64, 3)
    for n in range(20):
        row, column = divmod(n, game.COLUMNS)
        tile = sheet[64 * row : 64 * (row + 1), 64 * column : 64 * (column + 1)].astype(int)
        assert np.abs(tile - 8 * n).max() <= 2
    assert game.sheet(flat) == game.sheet(flat)


class Counting:
    """A simulator whose frames count its steps, and which ends after seven."""

    closed = False

    def reset(self, seed):
        self.steps = 0
        assert seed == 3
        return self.frame(), {}

    def step(self, action):
        assert action.shape == (1,)
        self.steps += 1
        return self.frame(), 1.0, self.steps == 7, False, {}

    def frame(self):
        return np.full((64, 64, 3), self.steps, np.uint8)

    def close(self):
        self.closed = True


def test_c_plays_the_game_until_its_end(models, monkeypatch):
    simulator = Counting()
    monkeypatch.setattr(game.catalogue, "create", lambda name, renderer: simulator)
    frames = game._play(Agent.load(models), 3)
    assert frames[:, 0, 0, 0].tolist() == [0, 2, 4, 6]
    assert simulator.closed


def test_a_simulator_that_dies_is_as_one_that_is_missing(models, monkeypatch):
    def dies(*_):
        raise SimulatorDiedError("the game is gone")

    monkeypatch.setattr(game.catalogue, "create", dies)
    with pytest.raises(EnvironmentMissingError, match="the game is gone"):
        game.record(Agent.load(models), 1)


@pytest.fixture
def served():
    with server(b"<!doctype html>page", 0) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving.server_address
        serving.shutdown()
        thread.join()


def ask(address, method: str, path: str):
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def test_the_page_is_served_on_loopback_alone(served):
    assert served[0] == HOST == "127.0.0.1"
    for path in ("/", "/index.html", "/?x=1"):
        status, body, headers = ask(served, "GET", path)
        assert (status, body) == (200, b"<!doctype html>page")
        assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert ask(served, "HEAD", "/")[:2] == (200, b"")
    assert ask(served, "GET", "/etc/passwd")[0] == 404
    assert ask(served, "POST", "/")[0] == 501
    with pytest.raises(OSError, match=r".+"):  # loopback too, but another address
        socket.create_connection(("127.0.0.2", served[1]), 1)


def test_play_serves_prints_and_opens(models, recorded, monkeypatch, capsys):
    made, asked = [], []

    def serve(content, port):
        made.append(server(content, port))
        return made[0]

    def look(address):
        port = int(address.rstrip("/").rpartition(":")[2])
        asked.append((address, *ask((HOST, port), "GET", "/")[:2]))
        made[0].shutdown()

    monkeypatch.setattr(play, "server", serve)
    monkeypatch.setattr(play.webbrowser, "open", look)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("play", "takecover", "--models", str(models), "--port", str(port)) == 0
    said = capsys.readouterr().out
    ((address, status, body),) = asked
    assert f"Port {port} is taken." in said
    assert address in said
    assert status == 200
    assert pages.MARK in body


def test_play_can_leave_the_browser_alone(models, recorded, monkeypatch, capsys):
    monkeypatch.setattr(play.webbrowser, "open", lambda _: pytest.fail("it was opened"))
    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", lambda _: None)
    assert run("play", "takecover", "--models", str(models), "--no-browser") == 0
    assert re.search(r"takecover, dreamed: http://127\.0\.0\.1:\d+/ ", capsys.readouterr().out)


class Tracker:
    """Takes what is recorded."""

    def __init__(self, *, recording: bool = True) -> None:
        self.recording = recording
        self.artifacts: dict[str, dict[str, bytes]] = {}

    def log_artifact(self, path: Path, folder: str = "") -> None:
        self.artifacts[folder] = {file.name: file.read_bytes() for file in path.iterdir()}


def inputs(models: Path) -> dict[str, Input]:
    return {kind: Input(models / kind, open_artifact(models / kind, kind)) for kind in PARTS}


def test_an_evaluations_run_has_the_page(models, recorded):
    tracker = Tracker()
    command._log_page("evaluate", inputs(models), "takecover", tracker)
    assert tracker.artifacts.keys() == {"browser"}
    assert pages.MARK in tracker.artifacts["browser"]["index.html"]


@pytest.mark.parametrize(("stage", "recording"), [("vae", True), ("evaluate", False)])
def test_no_other_stage_makes_it_and_none_for_nobody(models, recorded, stage, recording):
    tracker = Tracker(recording=recording)
    command._log_page(stage, inputs(models), "takecover", tracker)
    assert tracker.artifacts == {}
    assert recorded == []


def test_a_page_that_fails_fails_no_evaluation(models, monkeypatch, capsys):
    def fails(*_):
        raise UserError("no such thing")

    monkeypatch.setattr(game, "record", fails)
    tracker = Tracker()
    command._log_page("evaluate", inputs(models), "takecover", tracker)
    assert tracker.artifacts == {}
    assert (
        "goes without the page of the dream: no such thing; `world-models export"
        in capsys.readouterr().err
    )
