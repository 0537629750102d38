"""``dvc.yaml`` against the code: deps, parameters, the map of the repository."""

import re
from pathlib import Path

import pytest

import dag
from closure import closure, path_of
from world_models.experiment import Pipeline
from world_models.schema import read_yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = tuple(Pipeline.model_fields)
SHARED = read_yaml(ROOT / "dvc.yaml")["vars"][0]["shared"]
ENVIRONMENTS = tuple(read_yaml(ROOT / "params.yaml"))


@pytest.fixture(scope="module")
def stages():
    return read_yaml(ROOT / "dvc.yaml")["stages"]


def test_dag_has_the_stages_of_params_yaml(stages):
    assert tuple(stages) == STAGES == dag.STAGES
    for stage in stages.values():
        assert stage["foreach"] == "${shared}"
    assert tuple(SHARED) == ENVIRONMENTS


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_is_described_and_tracks_its_own_parameters_only(stages, name):
    body = stages[name]["do"]
    assert body["desc"]
    assert body["params"] == [f"${{key}}.{name}"]
    assert ("metrics" in body) == (name != "report")


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stage_has_plots(name, environment):
    shown: list[str] = []
    for plot in read_yaml(ROOT / "dvc.yaml")["plots"]:
        (body,) = plot.values() if isinstance(plot, dict) else ({"y": [plot]},)
        shown += list(body["y"])
    assert any(path.startswith(f"reports/{environment}/{name}/") for path in shown)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", STAGES)
def test_code_deps_equal_the_import_closure(stages, name, environment):
    deps = [
        d.replace("${key}", environment).replace("${item}", SHARED[environment])
        for d in stages[name]["do"]["deps"]
    ]
    listed: set[str] = set()
    for path in (d for d in deps if d.startswith("src/")):
        folder = ROOT / path
        files = folder.rglob("*.py") if folder.is_dir() else [folder]
        listed |= {str(file.relative_to(ROOT)) for file in files}
    modules = closure(f"world_models.stages.{name}", ROOT, dag.exempt(name))
    wanted = {str(path_of(module, ROOT)) for module in modules}
    if dag.CATALOGUE in modules:
        wanted |= dag.simulator(environment, ROOT)
    assert listed == wanted


def test_tool_finds_nothing_to_change():
    for path in dag.pipelines(ROOT):
        text = path.read_text(encoding="utf-8")
        assert dag.rewrite(text, ROOT) == text


def test_closure_leaves_out_tracking_and_follows_every_form_of_import(tmp_path):
    package = tmp_path / "src/world_models"
    for folder in (package, package / "a", package / "tracking"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("")
    (package / "start.py").write_text(
        "import world_models.one\nfrom world_models import two\nfrom world_models.a import three\n"
        "from world_models.a.four import name\nfrom world_models.tracking import run\n"
        "def late():\n    from world_models import five\n"
    )
    for name in ("one", "two", "a/three", "a/four", "five", "unused", "tracking/run"):
        (package / f"{name}.py").write_text("")
    names = {name.removeprefix("world_models") for name in closure("world_models.start", tmp_path)}
    assert names == {"", ".start", ".one", ".two", ".a", ".a.three", ".a.four", ".five"}


def test_readme_map_is_the_disk():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- map -->\s*```\n(.*?)```", text, re.S)
    assert block, "README.md lacks its map between <!-- map --> and a fenced block"
    listed = {line.split()[0].rstrip("/") for line in block[1].splitlines() if line.strip()}
    package = ROOT / "src/world_models"
    folders = [p for p in package.iterdir() if p.is_dir() and (p / "__init__.py").exists()]
    stages = package.glob("stages/*.py")
    top = (
        "configs",
        "docs",
        "tests",
        "benchmarks",
        "tools",
        "data",
        "models",
        "metrics",
        "reports",
    )
    wanted = {f"src/world_models/{p.name}" for p in folders}
    wanted |= {f"src/world_models/stages/{p.name}" for p in stages if p.name != "__init__.py"}
    wanted |= {f"src/world_models/{p.name}" for p in package.glob("*.py") if p.stem != "__init__"}
    wanted |= {*top, "params.yaml", "dvc.yaml"}
    assert listed == wanted
