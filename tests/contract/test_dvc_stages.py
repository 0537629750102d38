"""Every stage of every pipeline as DVC resolves it: its command against what it tracks."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from dvc.repo import Repo

from world_models.experiment import check, check_overlay
from world_models.reports import cells, costs
from world_models.schema import Overlay, read_yaml
from world_models.stages import command
from world_models.stages.command import Stage

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("experiments/*/dvc.yaml"))
MODULE = re.compile(r"python -m world_models\.stages\.(\w+)")


@cache
def stages() -> dict[str, list]:
    """By pipeline, DVC's stages."""
    with Repo(str(ROOT)) as repo:
        found = [s for s in repo.index.stages if s.cmd and s.name != "scores"]
    groups: dict[str, list] = {}
    for stage in found:
        groups.setdefault(str(Path(stage.path).relative_to(ROOT)), []).append(stage)
    return groups


def parse(stage):
    """The module's declaration and the arguments of a stage's command."""
    found = MODULE.search(stage.cmd)
    assert found, stage.cmd
    declared: Stage = import_module(f"world_models.stages.{found[1]}").STAGE
    words = stage.cmd[found.end() :]
    return declared, command._parser(declared).parse_args(shlex.split(words))


def paths(outputs, base: Path = ROOT) -> set[str]:
    return {str(Path(out.fs_path).relative_to(base)) for out in outputs}


@pytest.mark.parametrize("pipeline", ["dvc.yaml", *PIPELINES])
def test_commands_read_and_write_what_dvc_tracks(pipeline):
    for stage in stages()[pipeline]:
        declared, given = parse(stage)
        base = Path(stage.wdir)
        read = [getattr(given, name) for name in (*declared.inputs, *declared.optional)]
        read = {str(path) for path in read if path is not None}
        deps = paths((d for d in stage.deps if not hasattr(d, "params")), base)
        assert read <= deps, stage.addressing
        artifacts = {d for d in deps if d.split("/")[-2:-1] and "src/" not in d}
        numbers = str(given.numbers) if declared.numbers else None
        assert {d for d in artifacts if numbers is None or not d.startswith(numbers)} == read
        wanted = {str(given.reports)}
        wanted |= {str(given.out)} if declared.artifact else set()
        wanted |= {str(given.metrics)} if declared.metrics else set()
        assert wanted == paths(stage.outs, base), stage.addressing


@cache  # many stages share their parameters
def valid(params: Path, environment: str, text: str | None) -> None:
    if text is None:
        check(params, params.parent / "configs")
    else:
        overlay = Overlay.parse(text)
        check_overlay(params, environment, Overlay(ROOT / overlay.path, overlay.keys))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_parameters_of_experiments_are_valid_and_tracked(pipeline):
    for stage in stages()[pipeline]:
        declared, given = parse(stage)
        base = Path(stage.wdir)
        tracked = {
            (str(Path(dep.fs_path).relative_to(base)), key)
            for dep in stage.deps
            if hasattr(dep, "params")
            for key in dep.params
        }
        place = f"{given.environment}.{declared.name}"
        versions = ("src/world_models/stages/dependencies.yaml", f"versions.{place}")
        root = {(str(given.params), place)}
        valid(base / given.params, given.environment, given.overlay)
        if not given.overlay:
            assert tracked == root | {versions}
            continue
        overlay = Overlay.parse(given.overlay)
        own = {(str(overlay.path), f"{key}.{declared.name}") for key in overlay.keys}
        assert tracked - root == own | {versions}, stage.addressing


def _before(experiment: Path) -> Iterator[str]:
    """What its cells go on from has metrics too, which frames and steps so far are summed of."""
    chain = costs.chain(ROOT / experiment)
    waiting = list(read_yaml(ROOT / experiment / costs.CELLS)["cells"]) if chain else []
    while waiting:
        models = chain[waiting.pop()]
        if models is None:
            continue
        other = costs.owner(models)
        if other is None:
            yield from (f"metrics/{models.name}/{stage}.json" for stage in ("rollouts", "evolve"))
        else:
            yield from (f"experiments/{other}/{name}" for name in ("metrics", costs.CELLS))
            waiting.append(models.name)


TABLES = [p for p in PIPELINES if "scores" in read_yaml(ROOT / p)["stages"]]


@pytest.mark.parametrize("pipeline", TABLES)
def test_a_table_depends_on_all_that_it_is_made_of(pipeline):
    folder = Path(pipeline).parent
    made_of = {costs.FILE, costs.CELLS, cells.PUBLISHED, "params.yaml"}
    expected = {str(folder / name) for name in made_of if (ROOT / folder / name).exists()}
    code = (f"src/world_models/reports/{name}.py" for name in ("cells", "costs"))
    expected |= {str(folder / "metrics"), *code, *_before(folder)}
    assert set(read_yaml(ROOT / pipeline)["stages"]["scores"]["deps"]) == expected
    assert (ROOT / folder / costs.FILE).exists()  # DVC refuses a dependency that is missing


def test_commands_are_words_of_any_shell():
    """DVC runs them by the user's shell: an assignment before a command is not for csh or fish."""
    with Repo(str(ROOT)) as repo:
        commands = [stage.cmd for stage in repo.index.stages if stage.cmd]
    assert commands
    for words in map(shlex.split, commands):
        assert words[:2] == ["env", "PYTHONPATH=src"], words


def test_lock_file_has_the_commands_of_the_pipeline():
    """A command that differs is run again, whatever it makes."""
    with Repo(str(ROOT)) as repo:
        for stage in repo.index.stages:
            if stage.cmd and stage.path_in_repo in LOCKED:
                known = LOCKED[stage.path_in_repo].get(stage.name)
                assert known in (None, stage.cmd), stage.addressing


LOCKED = {
    f"{path.parent.relative_to(ROOT)}/dvc.yaml".removeprefix("./"): {
        name: entry["cmd"] for name, entry in read_yaml(path)["stages"].items()
    }
    for path in [ROOT / "dvc.lock", *ROOT.glob("experiments/*/dvc.lock")]
}
