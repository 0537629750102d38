"""``dvc.yaml`` against the code: deps, parameters, the map of the repository."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import dag
from world_models.envs import catalogue
from world_models.experiment import Pipeline
from world_models.schema import read_yaml, validate
from world_models.stages import collect, command, dependencies
from world_models.worlds.parameters import CollectParameters

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src/world_models"
STAGES = tuple(Pipeline.model_fields)
SHARED = read_yaml(ROOT / "dvc.yaml")["vars"][0]["shared"]
ENVIRONMENTS = tuple(read_yaml(ROOT / "params.yaml"))


@pytest.fixture(scope="module")
def stages():
    return read_yaml(ROOT / "dvc.yaml")["stages"]


def test_dag_has_the_stages_of_params_yaml(stages):
    assert tuple(stages) == STAGES
    for stage in stages.values():
        assert stage["foreach"] == "${shared}"
    assert tuple(SHARED) == ENVIRONMENTS


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_is_described_and_has_metrics(stages, name):
    body = stages[name]["do"]
    assert body["desc"]
    assert ("metrics" in body) == (name != "report")


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stage_has_plots(name, environment):
    shown: list[str] = []
    for plot in read_yaml(ROOT / "dvc.yaml")["plots"]:
        (body,) = plot.values() if isinstance(plot, dict) else ({"y": [plot]},)
        shown += list(body["y"])
    assert any(path.startswith(f"reports/{environment}/{name}/") for path in shown)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_code_deps_are_what_stages_resume_by(stages, name, environment):
    listed: set[str] = set()
    for dep in stages[name]["do"]["deps"]:
        path = ROOT / dep.replace("${key}", environment).replace("${item}", SHARED[environment])
        if path.is_relative_to(ROOT / "src"):
            files = path.rglob("*.py") if path.is_dir() else [path]
            listed |= {str(file.relative_to(ROOT)) for file in files}
    assert listed == set(dependencies.code(name, environment))


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_tracks_its_own_parameters_and_versions(stages, name):
    versions = {"src/world_models/stages/dependencies.yaml": [f"versions.${{key}}.{name}"]}
    assert stages[name]["do"]["params"] == [f"${{key}}.{name}", versions]


@pytest.mark.parametrize("name", dag.stages())
@pytest.mark.parametrize("environment", catalogue.names())
def test_code_covers_every_import(name, environment):
    """Against a reading of the imports with Python's own parser, without the tool's library."""
    listed = set(dependencies.code(name, environment))
    start = [f"world_models.stages.{name}"]
    if any(path.startswith(f"src/world_models/envs/{environment}/") for path in listed):
        entry = catalogue.specification(environment).entry_point.partition(":")[0]
        start += [entry, *_modules(environment)]
    assert _files(start, name) == listed


def _modules(environment: str) -> list[str]:
    paths = (PACKAGE / "envs" / environment).rglob("*.py")
    return [".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in paths]


def _files(waiting: list[str], stage: str) -> set[str]:
    """Files of modules, and of all that they import."""
    seen: set[str] = set()
    while waiting:
        module = waiting.pop().removesuffix(".__init__")
        if module and module not in seen and not dag.is_exempt(module, stage):
            seen.add(module)
            waiting += [module.rpartition(".")[0], *_imports(module)]
    return {str(dag.path_of(module)) for module in seen}


@cache
def _imports(module: str) -> set[str]:
    found: set[str] = set()
    for node in _runtime_nodes(ast.parse((ROOT / dag.path_of(module)).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = {name for name in found if name.split(".")[0] == "world_models"}
    return {name for name in ours if (ROOT / dag.path_of(name)).exists()}


def _runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from _runtime_nodes(child)


def test_stages_but_report_load_no_library_for_pictures():
    for name in set(STAGES) - {"report"}:
        assert not {"matplotlib", "PIL", "av"} & dag.closure(name)


AGENT = (
    "worlds/reality",
    "worlds/collect_agent",
    "vision/inference",
    "vision/network",
    "memory/inference",
    "memory/network",
    "controller/policy",
    "formulations",
)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_an_agent_collects_depends_on_the_agents_code_and_what_is_random_does_not(environment):
    agent = {f"src/world_models/{name}.py" for name in AGENT}
    assert agent <= dependencies.code("collect", environment).keys()
    assert not agent & dependencies.code("rollouts", environment).keys()
    assert {"torch", "numba"} <= dag.versions("collect", environment).keys()


def test_the_documented_stage_collect_is_complete():
    """The snippet of the docs: its command, its parameters, and the deps that the tool writes."""
    text = (ROOT / "docs/stages/collect.md").read_text(encoding="utf-8")
    snippet = re.search(r"```yaml\n(# experiments/rounds/dvc.yaml\n.*?)```", text, re.S)
    values = re.search(r"```yaml\n(# experiments/rounds/params.yaml\n.*?)```", text, re.S)
    assert snippet
    assert values
    yaml = YAML(typ="safe", pure=True)
    body = yaml.load(dag.rewrite(snippet[1]))["stages"]["collect"]["do"]
    _, _, words = body["cmd"].partition("world_models.stages.collect")
    arguments = vars(command._parser(collect.STAGE).parse_args(shlex.split(words)))
    read = {arguments[name].as_posix() for name in collect.STAGE.inputs}
    assert set(body["deps"]) == read | set(dag.deps("collect", {"carracing": SHARED["carracing"]}))
    assert body["outs"] == [arguments[name].as_posix() for name in ("out", "reports")]
    validate(CollectParameters, yaml.load(values[1])["carracing"]["collect"], "carracing.collect")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_versions_of_what_computes_count(environment):
    versions = {name: set(dag.versions(name, environment)) for name in STAGES}
    simulator = {"carracing": {"gymnasium", "box2d"}, "takecover": {"vizdoom"}}
    for name in ("rollouts", "evolve", "evaluate"):
        assert simulator.get(environment, set()) <= versions[name]
    assert {"torch", "numba", "numpy"} <= versions["vae"] & versions["mdnrnn"] & versions["evolve"]
    assert "cma" in versions["evolve"]
    assert "torch" not in versions["rollouts"]
    for name in STAGES:
        installed = dependencies.packages(name, environment)
        assert installed.keys() == versions[name]
        assert "not installed" not in installed.values()


def test_tool_finds_nothing_to_change():
    for path, text in dag.wanted().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run python tools/dag.py"


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
        "examples",
        "experiments",
        "tests",
        "benchmarks",
        "tools",
        "data",
        "models",
        "released",
        "metrics",
        "reports",
    )
    wanted = {f"src/world_models/{p.name}" for p in folders}
    wanted |= {f"src/world_models/stages/{p.name}" for p in stages if p.name != "__init__.py"}
    wanted |= {f"src/world_models/{p.name}" for p in package.glob("*.py") if p.stem != "__init__"}
    wanted |= {*top, "params.yaml", "dvc.yaml"}
    assert listed == wanted
