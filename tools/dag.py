"""Write each stage's code ``deps`` into ``dvc.yaml``; ``--check`` only tells if they are right.

The lines between the two markers of a stage belong to this tool, all others to you.
"""

import argparse
import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

from closure import EXEMPT, PACKAGE, closure, path_of

STAGES = ("rollouts", "vae", "encode", "mdnrnn", "evolve", "evaluate", "report")
BEGIN, END = "# code: written by tools/dag.py", "# end of code"
CATALOGUE = f"{PACKAGE}.envs.catalogue"
"""Whoever imports the catalogue loads one simulator by name: the folder of its environment."""
SIMULATOR, SHARED = "src/world_models/envs/${key}", "${item}"


def dependencies(stage: str, root: Path, shared: dict[str, str]) -> list[str]:
    """The code ``deps`` of one stage: sorted paths, the simulator's as two templates.

    Args:
        stage: its name.
        root: of the repository.
        shared: for each environment a file or folder that its simulator shares with some others.
    """
    modules = closure(f"{PACKAGE}.stages.{stage}", root, exempt(stage))
    paths = {str(path_of(module, root)) for module in modules}
    if CATALOGUE in modules:
        for environment, path in shared.items():
            used = shared_with_simulator(environment, root)
            paths |= {file for file in used if not Path(file).is_relative_to(path)}
        paths |= {SIMULATOR, SHARED}
    return sorted(paths)


def exempt(stage: str) -> tuple[str, ...]:
    """Packages that can change nothing that the stage makes."""
    return EXEMPT[:1] if stage == "report" else EXEMPT


def simulator(environment: str, root: Path) -> set[str]:
    """Files that one environment loads: its specification and its simulator."""
    folder = f"{PACKAGE}.envs.{environment}"
    own = path_of(f"{folder}.simulator", root)
    modules = closure(f"{folder}.specification", root)
    modules |= closure(f"{folder}.simulator" if own else f"{PACKAGE}.envs.rendered", root)
    return {str(path_of(module, root)) for module in modules}


def shared_with_simulator(environment: str, root: Path) -> set[str]:
    """Files that a simulator loads from outside its own folder."""
    folder = SIMULATOR.replace("${key}", environment) + "/"
    return {path for path in simulator(environment, root) if not path.startswith(folder)}


def rewrite(text: str, root: Path) -> str:
    """``dvc.yaml`` with the code ``deps`` of every stage as they should be."""
    shared = YAML(typ="safe", pure=True).load(text)["vars"][0]["shared"]
    for stage in STAGES:
        block = re.compile(
            rf"(?ms)(^  {stage}:\n(?:(?!^  \w).)*?^(?P<indent> +){re.escape(BEGIN)}\n)"
            rf".*?(^ +{re.escape(END)}$)"
        )
        found = block.search(text)
        if found is None:
            sys.exit(f"dvc.yaml: stage {stage} lacks the markers {BEGIN!r} and {END!r}.")
        paths = dependencies(stage, root, shared)
        lines = "".join(f"{found['indent']}- {path}\n" for path in paths)
        text = text[: found.start()] + found[1] + lines + found[3] + text[found.end() :]
    return text


def main() -> None:
    """Write ``dvc.yaml``, or with ``--check`` exit 1 if it is not what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    for path in pipelines(root):
        text = path.read_text(encoding="utf-8")
        wanted = rewrite(text, root)
        if arguments.check and text != wanted:
            sys.exit(f"{path}: code deps are stale. Run: python tools/dag.py")
        if not arguments.check:
            path.write_text(wanted, encoding="utf-8")


def pipelines(root: Path) -> list[Path]:
    """The DAG of the two environments, and those of experiments that have all stages."""
    return [root / "dvc.yaml", *sorted(root.glob("experiments/*/dvc.yaml"))]


if __name__ == "__main__":
    main()
