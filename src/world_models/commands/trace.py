"""``world-models trace``: from a score, a model or a data set back to all that it was made from."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from world_models.origin import git, tree
from world_models.origin.lock import within
from world_models.origin.tree import Builder, Node
from world_models.storage.scratch import find_root
from world_models.tracking.runs import RUN_ID, Runs, facts


@dataclass
class Item:
    """What is shown of one thing.

    Attributes:
        title: what it is.
        facts: by name, for programs; ``lines`` says the same for people.
        lines: for people.
        problems: what no longer matches.
        inputs: what it was made from.
    """

    title: str
    facts: Mapping[str, Any]
    lines: list[str]
    problems: list[str]
    inputs: list["Item"] = field(default_factory=list)


def run(arguments: Namespace) -> int:
    """Print the tree; exit code 1 if something in it no longer matches."""
    root = find_root().resolve()
    here, runs = Path.cwd(), Runs()
    os.chdir(root)  # paths in lock files are from there
    builder = Builder(root)
    if RUN_ID.fullmatch(arguments.what) and not (here / arguments.what).exists():
        item = _of_run(runs.get(arguments.what), runs, builder)
    else:
        if runs.fault:
            print(f"world-models trace: without MLflow's runs: {runs.fault}", file=sys.stderr)
        node = builder.build(within(root, here / arguments.what))
        item = _item(node, runs.makers(_outputs(node)), {})
    if arguments.json:
        print(json.dumps(_plain(item), indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(_drawn(item, set()))
    return 1 if any(one.problems for one in _all(item)) else 0


def _of_run(run: Run, runs: Runs, builder: Builder) -> Item:
    """By DVC's lock files if they still hold what it and all before it made, else by MLflow's runs.

    Two runs may have made the same bytes from different inputs, so the inputs count too.
    """
    chain = [above for above in runs.chain(run) if "output" in above.data.tags]
    made = {above.data.tags["output"]: above for above in chain}
    output, stage = run.data.tags.get("output"), run.data.tags.get("dvc.stage", "")
    entries = [e for e in builder.lock.entries if output and e.name == stage]
    for path in (out for entry in entries for out in entry.outs):
        if tree.output(Path(path)) == output and made.keys() <= builder.outputs(path):
            node = builder.build(path)
            return _item(node, runs.makers(_outputs(node)) | made, {})
    inputs = [_of_run(above, runs, builder) for above in runs.upstream(run).values()]
    said = facts(run)
    target = f"dvc repro {stage}" if stage else "the stage"
    problem = f"what it made is no longer in dvc.lock; make it anew: {_back(run, target)}"
    return Item(said["name"], said, _run_lines(said), [problem], inputs)


def _back(run: Run, target: str) -> str:
    experiment = run.data.tags.get("dvc.experiment")
    commit = facts(run)["commit"][:12]
    return f"dvc exp apply {experiment}" if experiment else f"git checkout {commit} && {target}"


def _item(node: Node, makers: Mapping[str, Run], made: dict[str, Item]) -> Item:
    if node.path in made:
        return made[node.path]
    maker = makers.get(node.output or "")
    said: dict[str, Any] = {
        "path": node.path,
        "stage": node.entry.target,
        "md5": node.digest,
        "revision": node.revision,
        "parameters": node.parameters,
        "versions": dict(node.versions),
        "run": dict(facts(maker)) if maker else None,
    }
    lines = [
        f"md5 {node.digest}, made by {node.entry.target}",
        _fetch(node),
        *([] if node.here else ["not here: dvc checkout, or dvc pull from a remote"]),
        f"{node.code} files and folders of code; {_versions(node.versions)}",
        *(_run_lines(facts(maker)) if maker else ["no MLflow run of it here"]),
    ]
    item = made[node.path] = Item(node.path, said, lines, node.problems)
    item.inputs = [_item(above, makers, made) for above in node.inputs]
    return item


def _fetch(node: Node) -> str:
    if node.revision is None and not git.there():
        return "there is no git repository, so no revision that brings it back"
    if node.revision is None:
        return "in no commit yet: commit dvc.lock, then any revision brings it back"
    return f"back: dvc get . {node.path} --rev {node.revision[:12]}"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "no versions"


def _run_lines(said: Mapping[str, Any]) -> list[str]:
    found = said["differs"].items()
    differs = "; ".join(name if text == "true" else f"{name}: {text}" for name, text in found)
    state = f"with changes: {differs}" if differs else "clean"
    cost = "" if said["core_hours"] is None else f", {said['core_hours']} core-hours"
    where = f"commit {said['commit'][:12]}, {state}, on {said['host']}{cost}"
    return [f"run {said['run']} ({said['name']}): {where}"]


def _drawn(item: Item, seen: set[str]) -> Tree:
    drawn = Tree(f"[bold]{escape(item.title)}[/bold]")
    if item.title in seen:
        drawn.label = f"{escape(item.title)} (above)"
        return drawn
    seen.add(item.title)
    text = [f"[dim]{escape(line)}[/dim]" for line in item.lines]
    text += [f"[red]! {escape(problem)}[/red]" for problem in item.problems]
    drawn.label = "\n".join([str(drawn.label), *text])
    for above in item.inputs:
        drawn.children.append(_drawn(above, seen))
    return drawn


def _plain(item: Item) -> dict[str, Any]:
    inputs = [_plain(above) for above in item.inputs]
    return {**item.facts, "problems": item.problems, "inputs": inputs}


def _all(item: Item) -> Iterator[Item]:
    yield item
    for above in item.inputs:
        yield from _all(above)


def _outputs(node: Node) -> set[str]:
    return {one.output for one in _nodes(node) if one.output}


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for above in node.inputs:
        yield from _nodes(above)
