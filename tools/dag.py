"""What a stage depends on, read from the code's imports, and written where DVC and stages look.

``src/world_models/stages/dependencies.yaml`` gets each stage's code, and the versions of the
packages that compute; every ``dvc.yaml`` gets the same code as ``deps``, between two markers of
each stage. ``--check`` only tells whether they are right.
"""

import argparse
import io
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import grimp
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from lock import constraints
from world_models.envs import catalogue

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "world_models"
STORED = Path("src/world_models/stages/dependencies.yaml")
BEGIN, END = "# code: written by tools/dag.py", "# end of code"
CATALOGUE = f"{PACKAGE}.envs.catalogue"
"""Whoever imports the catalogue loads one environment by name: the folder of that name."""
ANY = "src/world_models/envs/${key}"

EXEMPT = {
    "tracking": "records what a stage says",
    "reports": "draws stored numbers",
    "browser": "makes a page of finished models",
    "engine": "decides where units of work run, whose results depend on their arguments alone",
    "origin": "says where results come from",
    "progress": "shows progress",
    "errors": "holds messages",
    "storage.guard": "refuses files, or lets them be read as they are",
    "storage.scratch": "keeps state to resume from, whole or not at all",
    "storage.owned": "says whose a folder is, and sweeps what killed processes left",
    "storage.temporary": "makes temporary folders",
    "stages.command": "reads the command line and calls the stage",
    "stages.dependencies": "reads what this tool writes",
}
"""Modules that can change no artifact, and why: an edit of them must not cost hours of work."""

NOT_COMPUTING = {
    "filelock": "locks",
    "h5py": "a file format",
    "hdf5plugin": "a file format",
    "pandas": "tables for people, and a file format",
    "platformdirs": "names of folders",
    "psutil": "looks at processes",
    "pyarrow": "a file format",
    "pydantic": "checks parameters",
    "rich": "shows progress",
    "ruamel": "a file format",
    "safetensors": "a file format",
}
"""Packages whose versions change no result, and why; the versions of all others count."""


def stages() -> list[str]:
    """Modules of the folder ``stages`` that can be run."""
    files = sorted((ROOT / "src/world_models/stages").glob("*.py"))
    return [file.stem for file in files if 'if __name__ == "__main__"' in file.read_text("utf-8")]


@cache
def graph(stage: str) -> grimp.ImportGraph:
    """The import graph without what can change nothing that the stage makes."""
    found = grimp.build_graph(
        PACKAGE,
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    for name in [name for name in found.modules if is_exempt(name, stage) and name != PACKAGE]:
        found.remove_module(name)  # of the package itself this would remove all
    return found


def is_exempt(module: str, stage: str) -> bool:
    """Whether a module of ours can change nothing that the stage makes."""
    if module == PACKAGE:
        return True  # it registers environments and offers names
    names = [name for name in EXEMPT if (name, stage) != ("reports", "report")]
    return any(f"{module}.".startswith(f"{PACKAGE}.{name}.") for name in names)


def closure(stage: str) -> set[str]:
    """All modules that a stage may import, ours and others, without the environments' own."""
    module = f"{PACKAGE}.stages.{stage}"
    return {module} | graph(stage).find_upstream_modules(module)


def simulator(environment: str, stage: str) -> set[str]:
    """All modules that an environment may import, its own included."""
    folder = f"{PACKAGE}.envs.{environment}"
    entry = catalogue.specification(environment).entry_point.partition(":")[0]
    found = graph(stage)
    own = {folder, entry} | found.find_descendants(folder)
    return own | {above for name in own for above in found.find_upstream_modules(name)}


def common_code(stage: str) -> list[str]:
    """Files that a stage depends on with every environment, relative to the root.

    :data:`ANY` stands for an environment's own code, if the stage loads one.
    """
    modules = closure(stage)
    return sorted([*_files(modules, stage), *([ANY] if CATALOGUE in modules else [])])


def environment_code(environment: str) -> list[str]:
    """Files that an environment depends on, relative to the root."""
    return sorted(_files(simulator(environment, "rollouts"), "rollouts"))


def deps(stage: str, shared: Mapping[str, str]) -> list[str]:
    """The code ``deps`` of a stage in a ``dvc.yaml``, whose templates stand for the environments.

    Args:
        stage: such as ``vae``.
        shared: for each environment a file or folder that it shares with some others: ``${item}``.
    """
    paths = set(common_code(stage))
    if ANY not in paths:
        return sorted(paths)
    for environment, path in shared.items():
        own = Path(ANY.replace("${key}", environment)), Path(path)
        files = environment_code(environment)
        paths |= {f for f in files if not any(Path(f).is_relative_to(folder) for folder in own)}
    return sorted({*paths, "${item}"})


def _files(modules: set[str], stage: str) -> Iterator[str]:
    ours = {name for name in modules if name.split(".")[0] == PACKAGE}
    packages = {name.rsplit(".", end)[0] for name in ours for end in range(1, name.count(".") + 1)}
    for name in ours | packages:
        if not is_exempt(name, stage):
            yield str(path_of(name))


def path_of(module: str) -> Path:
    """The file of a module of ours, relative to the root."""
    stem = Path("src", *module.split("."))
    return stem / "__init__.py" if (ROOT / stem).is_dir() else stem.with_suffix(".py")


def versions(stage: str, environment: str) -> dict[str, str]:
    """Of the packages that compute: by name, the version in ``constraints.txt``."""
    modules, packages = closure(stage), set()
    if CATALOGUE in modules:
        modules |= simulator(environment, stage)
        packages = set(catalogue.specification(environment).packages)
    ignored = {PACKAGE, *NOT_COMPUTING, *sys.stdlib_module_names}
    for name in {module.split(".")[0] for module in modules} - ignored:
        packages |= set(distributions()[name])
    pins = constraints()
    return {name: pins[name] for name in sorted(map(canonicalize_name, packages))}


@cache
def distributions() -> Mapping[str, list[str]]:
    """The installed packages that have each importable module; takes half a second to find."""
    return metadata.packages_distributions()


def dependencies() -> str:
    """The text of :data:`STORED`."""
    names = catalogue.names()
    content: dict[str, Any] = {
        "code": {stage: common_code(stage) for stage in stages()},
        "environments": {name: environment_code(name) for name in names},
        "versions": {name: {stage: versions(stage, name) for stage in stages()} for name in names},
    }
    yaml, text = YAML(), io.StringIO()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(content, text)
    return f"# Written by tools/dag.py: what each stage's result depends on.\n{text.getvalue()}"


def rewrite(text: str) -> str:
    """A ``dvc.yaml`` with the code ``deps`` of every stage as they should be."""
    shared = YAML(typ="safe", pure=True).load(text)["vars"][0]["shared"]
    inside = r"(?:(?!^  \w).)*?"  # up to the next stage
    block = re.compile(
        rf"(^  \w+:\n{inside}world_models\.stages\.(?P<stage>\w+) "
        rf"{inside}^(?P<indent> +){re.escape(BEGIN)}\n).*?(^ +{re.escape(END)}$)",
        re.MULTILINE | re.DOTALL,
    )

    def lines(found: re.Match[str]) -> str:
        paths = deps(found["stage"], shared)
        name = found[1].partition("--environment ")[2].split()[0]
        if name != "${key}":  # a cell of an experiment: it names its environment
            own = shared.get(name, "${item.shared}")
            paths = sorted(_replaced(path, {"${key}": name, "${item}": own}) for path in paths)
        return found[1] + "".join(f"{found['indent']}- {path}\n" for path in paths) + found[4]

    return block.sub(lines, text)


def _replaced(text: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        text = text.replace(old, new)
    return text


def wanted() -> dict[Path, str]:
    """Every file that this tool writes, and what it should hold."""
    pipelines = [ROOT / "dvc.yaml", *sorted(ROOT.glob("experiments/*/dvc.yaml"))]
    files = {path: rewrite(path.read_text(encoding="utf-8")) for path in pipelines}
    return {ROOT / STORED: dependencies(), **files}


def main() -> None:
    """Write the files, or with ``--check`` exit 1 if one is not what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    arguments = parser.parse_args()
    for path, text in wanted().items():
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.relative_to(ROOT)} is stale. Run: python tools/dag.py")


if __name__ == "__main__":
    main()
