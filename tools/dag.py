"""Write each stage's code ``deps`` into ``dvc.yaml``; ``--check`` only tells if they are right.

The lines between the two markers of a stage belong to this tool, all others to you.
"""

import argparse
import re
import sys
from pathlib import Path

from closure import EXEMPT, PACKAGE, closure, path_of

STAGES = ("rollouts", "vae", "encode", "mdnrnn", "evolve", "evaluate", "report")
BEGIN, END = "# code: written by tools/dag.py", "# end of code"
CATALOGUE = f"{PACKAGE}.envs.catalogue"
"""Whoever imports the catalogue loads one simulator by name: the folder of its environment."""
SIMULATOR = "src/world_models/envs/${item}"


def dependencies(stage: str, root: Path) -> list[str]:
    """The code ``deps`` of one stage: sorted paths, the simulator's as a folder."""
    modules = closure(f"{PACKAGE}.stages.{stage}", root, exempt(stage))
    paths = {str(path_of(module, root)) for module in modules}
    if CATALOGUE in modules:
        for environment in environments(root):
            paths |= shared_with_simulator(environment, root)
        paths.add(SIMULATOR)
    return sorted(paths)


def exempt(stage: str) -> tuple[str, ...]:
    """Packages that can change nothing that the stage makes."""
    return EXEMPT[:1] if stage == "report" else EXEMPT


def environments(root: Path) -> list[str]:
    """Every folder of ``envs`` that holds a simulator."""
    return sorted(p.parent.name for p in (root / "src/world_models/envs").glob("*/simulator.py"))


def simulator(environment: str, root: Path) -> set[str]:
    """Files that the simulator of one environment loads."""
    modules = closure(f"{PACKAGE}.envs.{environment}.simulator", root)
    return {str(path_of(module, root)) for module in modules}


def shared_with_simulator(environment: str, root: Path) -> set[str]:
    """Files that a simulator loads from outside its own folder."""
    folder = SIMULATOR.replace("${item}", environment) + "/"
    return {path for path in simulator(environment, root) if not path.startswith(folder)}


def rewrite(text: str, root: Path) -> str:
    """``dvc.yaml`` with the code ``deps`` of every stage as they should be."""
    for stage in STAGES:
        block = re.compile(
            rf"(?ms)(^  {stage}:\n(?:(?!^  \w).)*?^(?P<indent> +){re.escape(BEGIN)}\n)"
            rf".*?(^ +{re.escape(END)}$)"
        )
        found = block.search(text)
        if found is None:
            sys.exit(f"dvc.yaml: stage {stage} lacks the markers {BEGIN!r} and {END!r}.")
        lines = "".join(f"{found['indent']}- {path}\n" for path in dependencies(stage, root))
        text = text[: found.start()] + found[1] + lines + found[3] + text[found.end() :]
    return text


def main() -> None:
    """Write ``dvc.yaml``, or with ``--check`` exit 1 if it is not what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    path = root / "dvc.yaml"
    text = path.read_text(encoding="utf-8")
    wanted = rewrite(text, root)
    if arguments.check and text != wanted:
        sys.exit("dvc.yaml: code deps are stale. Run: python tools/dag.py")
    if not arguments.check:
        path.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
