import json
import math
import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import av
import pytest

from world_models import cli
from world_models.commands import describe, ports, ui
from world_models.vision.network import parts as vision_parts

GOLDEN = {  # paper, App. A, as the authors' code counts them
    "carracing": {
        "V": (4_348_547, {"encoder": 690_144, "heads": 65_600, "decoder": 3_592_803}),
        "M": (422_368, {"lstm": 299_008, "head": 123_360}),
        "C": (867, {"policy": 867}),
    },
    "takecover": {
        "V": (4_446_915, {"encoder": 690_144, "heads": 131_200, "decoder": 3_625_571}),
        "M": (1_678_785, {"lstm": 1_185_792, "head": 492_993}),
        "C": (1_088, {"policy": 1_088}),
    },
}


def _call(*words: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "world_models.cli", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return int(ended.value.code or 0)


def test_help_names_the_commands_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom world_models import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for word in (
        "describe",
        "watch",
        "dream",
        "play",
        "export",
        "profile",
        "results",
        "doctor",
        "examples:",
    ):
        assert word in done.stdout
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "mlflow", "pandas", "matplotlib", "av", "numba"}


@pytest.mark.parametrize("environment", GOLDEN)
def test_describe_shows_the_golden_parts(environment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # no params.yaml: the paper's sizes
    assert _run("describe", environment, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    for name, (total, parts) in GOLDEN[environment].items():
        net = shown["networks"][name]
        assert net["parameters"] == shown["paper"][name] == total
        assert {part: content["parameters"] for part, content in net["parts"].items()} == parts


def test_describe_follows_params_yaml(tmp_path, capsys):
    (tmp_path / "params.yaml").write_text(
        "takecover:\n  vae: {z_size: 8, channels: [16, 32, 64]}\n"
        "  mdnrnn: {cell: lstm, hidden_size: 16, mixtures: 2, restart: true, reward_head: true,"
        " end_head: false}\n  evolve: {features: z, hidden: 40}\n"
    )
    assert _run("describe", "takecover", "--params", str(tmp_path / "params.yaml")) == 0
    told = capsys.readouterr().out
    lstm = 4 * 16 * (8 + 1 + 1 + 16 + 1)
    heads = (3 * 2 * 8 + 2) * 17
    v = sum(vision_parts(8, (16, 32, 64)).values())
    assert f"V  {v:,} parameters (the paper's has 4,446,915)" in told
    assert f"M  {lstm + heads:,} parameters (the paper's has 1,678,785)" in told
    assert "C  360 parameters" in told  # 8 · 40 + 40, no biases in Doom


def test_describe_has_the_projects_sizes_from_any_folder_of_it(monkeypatch, capsys):
    root = Path(__file__).resolve().parents[2]
    monkeypatch.delenv("DVC_ROOT", raising=False)
    said = []
    for folder in (root, root / "experiments/seeds"):
        monkeypatch.chdir(folder)
        assert _run("describe", "takecover") == 0
        said.append(capsys.readouterr().out)
    assert said[0].replace(str(root), "") == said[1].replace(str(root), "")


def test_parts_that_are_described_are_those_that_are_trained():
    shape = describe._paper("takecover")
    tensors = describe.networks("takecover", shape)["M"]["parts"]["lstm"]["tensors"]
    assert tensors == {"w_x": [2048, 66], "w_h": [2048, 512], "bias": [2048]}


def test_a_reader_that_stops_reading_is_no_fault():
    command = [sys.executable, "-m", "world_models.cli", "describe", "takecover"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_missing_models_are_one_line_and_exit_2(tmp_path):
    done = _call("watch", "takecover", "--models", str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "it lacks vae, mdnrnn, controller. `make run`" in done.stderr


@pytest.mark.parametrize(
    "words", [("watch", "mars"), ("dream", "carracing", "--tau", "0"), ("watch", "carracing", "-x")]
)
def test_wrong_words_exit_2(words, capsys):
    assert _run(*words) == 2
    assert "usage:" in capsys.readouterr().err


def test_video_of_unknown_kind_is_refused_before_anything_is_played(models, tmp_path, capsys):
    words = ("watch", "takecover", "--models", str(models), "--video", str(tmp_path / "a.avi"))
    assert _run(*words) == 2
    assert ".mp4 or .gif" in capsys.readouterr().err


def test_watch_reports_each_episode_and_films_it(models, tmp_path, capsys):
    video = tmp_path / "watch.mp4"
    words = ("watch", "takecover", "--models", str(models), "--episodes", "2", "--seed", "7")
    assert _run(*words, "--renderer", "fast", "--video", str(video), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    episodes = shown["episodes"]
    assert [episode["seed"] for episode in episodes] == [7, 8]
    assert all(episode["return"] == episode["length"] > 0 for episode in episodes)
    assert shown["mean"] == sum(e["return"] for e in episodes) / 2
    with av.open(str(video)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == sum(-(-episode["length"] // 2) for episode in episodes)


def test_dream_reports_tau_and_films_what_m_dreams(models, tmp_path, capsys):
    video = tmp_path / "dream.gif"
    words = ("dream", "takecover", "--models", str(models), "--tau", "1.3", "--video", str(video))
    assert _run(*words, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["tau"] == 1.3
    assert [episode["seed"] for episode in shown["episodes"]] == [1]
    assert video.read_bytes().startswith(b"GIF89a")


@pytest.mark.slow
def test_doctor_finds_this_machine_well_or_says_what_is_missing():
    done = _call("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert findings["takecover (genuine)"]["well"]
    assert findings["carracing (genuine)"]["well"]
    assert findings["H.264"]["found"] == "libx264"
    assert findings["parameters"]["well"]
    assert {"carracing (data)", "DVC remote", "MLflow store"} <= findings.keys()
    assert done.returncode == (0 if all(f["well"] for f in findings.values()) else 1)


@pytest.mark.parametrize("out", [".", "nowhere/x.html"])
def test_compare_refuses_a_page_that_cannot_be_written_before_it_works(
    out, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert _run("compare", "HEAD", "--out", out) == 2
    assert "give a file in a folder that exists" in capsys.readouterr().err


def test_a_name_that_is_too_long_is_one_line(models, tmp_path, capsys):
    assert _run("data", "card", str(tmp_path / ("a" * 300))) == 2
    assert "Traceback" not in (said := capsys.readouterr().err)
    assert "aaaa" in said


def test_doctor_names_what_is_wrong_in_the_project(tmp_path, monkeypatch):
    from world_models.commands import health

    root = Path(__file__).resolve().parents[2]
    text = (root / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("z_size: 32", "z_size: -1"))
    (tmp_path / "models/carracing/vae").mkdir(parents=True)
    (tmp_path / "models/carracing/vae/card.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/mlflow.db")
    found = {finding.what: finding for finding in health.project(tmp_path)}
    bad = {what for what, finding in found.items() if not finding.well}
    assert bad == {"parameters", "carracing (data)", "DVC remote", "MLflow store"}
    assert "carracing.vae.z_size" in found["parameters"].found
    assert "dvc pull" in found["carracing (data)"].cure
    assert "/nowhere does not exist" in found["MLflow store"].found


SURROUNDINGS = """
from world_models.commands import doctor
for finding in (*doctor._machine(), *doctor._surroundings()):
    print(finding.what, finding.well, finding.found, finding.cure, sep="|")
"""


def _surroundings(*where, **variables):
    """What doctor finds, by name, in a namespace of its own."""
    if subprocess.run([*where, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no private namespaces here")
    names = ("LOGNAME", "USER", "LNAME", "USERNAME")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [*where, sys.executable, "-c", SURROUNDINGS],
        env=kept | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.partition("|")[0]: line for line in done.stdout.splitlines()}


def test_doctor_tells_of_a_user_without_a_name():
    unknown = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
    told = _surroundings(*unknown)["user"]
    assert told.startswith("user|False|user id 54321 has no name")
    assert "export USER=me" in told
    assert _surroundings(*unknown, USER="me")["user"] == "user|True|me|"


def test_doctor_tells_of_too_little_shared_memory():
    script = 'mount -t tmpfs -o size=16k tmpfs /dev/shm && exec "$@"'
    small = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")
    told = _surroundings(*small)["shared memory"]
    assert told.startswith("shared memory|False|ViZDoom's game needs 1024 KB")
    assert "--shm-size" in told


@pytest.mark.parametrize(("quota", "told"), [(1.5, ["1.5 of 4 cores"]), (4.0, []), (math.inf, [])])
def test_doctor_tells_of_a_cpu_quota_below_the_cores(monkeypatch, quota, told):
    from world_models.commands import doctor
    from world_models.engine import cores

    monkeypatch.setattr(cores, "STARTED_ON", frozenset(range(4)))
    monkeypatch.setattr(cores, "quota", lambda *_: quota)
    found = [finding.found for finding in doctor._machine() if finding.what == "CPU quota"]
    assert [text.partition(",")[0] for text in found] == told


def test_results_prints_a_table(tmp_path, capsys):
    (tmp_path / "takecover").mkdir()
    score = {"mean": 512.0, "sd": 300.0, "se": 30.0, "n": 100, "length": 512.0}
    (tmp_path / "takecover" / "evaluate.json").write_text(json.dumps({"agent": score}))
    assert _run("results", "--metrics", str(tmp_path)) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "trained agent" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:6] == ["trained agent", "512 ± 30", "300", "100", "512"]


@pytest.mark.parametrize(
    "content",
    [
        '{"agent": {}}',
        "not JSON",
        "null",
        "[1]",
        '{"agent": {"mean": "x", "se": 1, "sd": 1, "n": 1}}',
    ],
)
def test_damaged_metrics_are_one_line_and_the_document_stays(tmp_path, capsys, content):
    (tmp_path / "takecover").mkdir()
    (tmp_path / "takecover" / "evaluate.json").write_text(content)
    document = tmp_path / "page.md"
    document.write_text("<!-- results -->\nold\n<!-- end of results -->\n")
    for options in ([], ["--write", str(document)]):
        assert _run("results", "--metrics", str(tmp_path), *options) == 2
        assert "evaluate.json holds no scores" in capsys.readouterr().err
    assert "old" in document.read_text()


def test_no_metrics_leave_the_document_as_it_was(tmp_path, capsys):
    document = tmp_path / "page.md"
    document.write_text("<!-- results -->\nold\n<!-- end of results -->\n")
    assert _run("results", "--metrics", str(tmp_path / "no"), "--write", str(document)) == 2
    assert "evaluate something first" in capsys.readouterr().err
    assert "old" in document.read_text()


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "x"])
def test_state_is_removed_by_a_number_of_days_alone(days, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["scratch", "--older-than", days])
    assert end.value.code == 2
    assert "--older-than" in capsys.readouterr().err


def test_a_profile_of_another_environment_is_refused(tmp_path, capsys):
    (tmp_path / "odd.yaml").write_text("healthgathering: {vae: {steps: 1}}\n")
    params = tmp_path / "params.yaml"
    params.write_text((Path(__file__).resolve().parents[2] / "params.yaml").read_text())
    options = ["--params", str(params), "--profiles", str(tmp_path)]
    assert _run("profile", "odd", *options) == 2
    assert "sets healthgathering" in capsys.readouterr().err


def test_profile_is_merged_and_told(tmp_path, capsys):
    root = Path(__file__).resolve().parents[2]
    shutil.copytree(root / "configs", tmp_path / "configs")
    shutil.copy(root / "params.yaml", tmp_path / "params.yaml")
    where = ("--params", str(tmp_path / "params.yaml"), "--profiles", str(tmp_path / "configs"))
    assert _run("profile", "smoke", *where) == 0
    assert "→" in capsys.readouterr().out
    assert _run("profile", "smoke", *where) == 0
    assert "already is smoke" in capsys.readouterr().out


def test_ui_takes_the_next_port_that_is_free(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    started = []
    monkeypatch.setattr(ui.os, "execv", lambda _, words: started.append(words))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with suppress(SystemExit, TypeError):  # nothing took the process's place
            cli.main(["ui", "--port", str(port)])
    (words,) = started
    assert port < int(words[-1]) < port + ports.TRIED
    said = capsys.readouterr().out
    assert f"Port {port} is taken." in said
    assert f"http://127.0.0.1:{words[-1]}" in said


def test_ui_names_the_page_of_a_server_and_of_a_database_says_that_it_has_none(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@tracking.example:5000/")
    assert _run("ui") == 0
    page = "http://tracking.example:5000/#/experiments?workflowType=machine_learning"
    assert page in capsys.readouterr().out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://tracking.example/runs")
    assert _run("ui") == 2
    assert "open its own page" in capsys.readouterr().err
