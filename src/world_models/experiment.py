"""The whole experiment: every parameter of every environment, checked before any work starts.

Stages read only their own slice; this module is for people and for ``make``: it validates
``params.yaml`` with all profiles, and merges a profile into it.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import create_model
from ruamel.yaml import YAML

from world_models.envs import catalogue
from world_models.envs.parameters import RolloutsParameters
from world_models.errors import ParameterError, UserError
from world_models.evaluation.parameters import AssessParameters, EvaluateParameters
from world_models.evolution.parameters import EvolveParameters
from world_models.joint.parameters import JointParameters
from world_models.memory.parameters import MDNRNNParameters
from world_models.memory.sizes import Sizes
from world_models.reports.parameters import ReportParameters
from world_models.schema import (
    Overlay,
    Parameters,
    merged,
    read_pipeline,
    read_yaml,
    validate,
)
from world_models.storage.atomic import atomic_file
from world_models.vision.encode_parameters import EncodeParameters
from world_models.vision.parameters import VAEParameters
from world_models.worlds.parameters import CollectParameters

NULL = "tag:yaml.org,2002:null"


class Pipeline(Parameters):
    """The seven stages of one environment; each key is a stage, a module and an artifact."""

    rollouts: RolloutsParameters
    vae: VAEParameters
    encode: EncodeParameters
    mdnrnn: MDNRNNParameters
    evolve: EvolveParameters
    evaluate: EvaluateParameters
    report: ReportParameters


class Extended(Pipeline):
    """A pipeline of an experiment with all further stages that there are."""

    collect: CollectParameters
    joint: JointParameters
    assess: AssessParameters


FURTHER = tuple(name for name in Extended.model_fields if name not in Pipeline.model_fields)
"""Stages that an experiment may have beside the seven."""


Experiment = dict[str, Pipeline]
"""All of ``params.yaml``: a pipeline for each environment that it names."""


def check(params: Path, profiles: Path) -> Experiment:
    """Validate ``params.yaml``, and what every profile would make of it.

    Raises:
        ParameterError: with one line for each fault, which names the file, the key, the value
            and what is allowed.
    """
    base = read_yaml(params)
    experiment = _validate(base, str(params))
    for overlay in sorted(profiles.glob("*.yaml")):
        _validate(merged(base, read_yaml(overlay)), f"{params} with {overlay}")
    return experiment


def check_overlay(params: Path, environment: str, overlay: Overlay) -> Pipeline:
    """Validate what an experiment makes of one environment's parameters.

    Raises:
        ParameterError: as :func:`check` does.
    """
    values = read_pipeline(params, environment, overlay)
    return _validate({environment: values}, f"{params} with {overlay}")[environment]


def _validate(values: Mapping[str, Any], source: str) -> Experiment:
    """Every environment's parameters, or one error that lists the faults of all."""
    experiment, faults = {}, []
    for environment, pipeline in values.items():
        try:
            experiment[environment] = _environment(environment, pipeline)
        except ParameterError as error:
            faults += str(error).splitlines()
    if faults:
        raise ParameterError("\n".join(f"{source}: {line}" for line in faults))
    return experiment


def _environment(name: str, values: object) -> Pipeline:
    """One environment's parameters, checked against its specification too."""
    cap = catalogue.specification(name).cap
    given = values if isinstance(values, Mapping) else {}
    further: Any = {
        stage: (Extended.model_fields[stage].annotation, ...) for stage in FURTHER if stage in given
    }
    pipeline = validate(create_model("Pipeline", __base__=Pipeline, **further), values, name)
    for stage in ("rollouts", "collect", "assess"):
        steps = getattr(pipeline, stage).max_steps if stage in given else 0
        if steps > cap:
            raise ParameterError(
                f"{name}.{stage}.max_steps = {steps}: an episode has {cap} steps at most."
            )
    _check_controller(name, pipeline)
    _check_disturbances(name, pipeline)
    return pipeline


def _check_disturbances(name: str, pipeline: Pipeline) -> None:
    for stage, parameters in (("evolve", pipeline.evolve), ("evaluate", pipeline.evaluate)):
        try:
            catalogue.specification(name).check_disturbance(parameters.changed)
        except ParameterError as error:
            raise ParameterError(f"{name}.{stage}: {error}") from None


def _check_controller(name: str, pipeline: Pipeline) -> None:
    """Whether C can see and learn what its parameters say, with the V and M of the others.

    Raises:
        ParameterError: features that M does not have, a dream in which there is no return, or
            hard episodes where none is known to be hard.
    """
    m, c = pipeline.mdnrnn, pipeline.evolve
    heads = {"restart": m.restart, "reward_head": m.reward_head, "end_head": m.end_head}
    about = catalogue.specification(name)
    known = (pipeline.vae.z_size, about.actions.size, m.hidden_size, m.mixtures)
    try:
        Sizes(*known, **heads, cell=m.cell).seen(c.features)
        if c.hardest_of is not None:
            about.check_difficulty()
        if c.world == "dream":
            predicts = {"reward": m.reward_head, "end": m.end_head or m.restart}
            about.check_dream({need for need, predicted in predicts.items() if predicted})
    except ParameterError as error:
        raise ParameterError(f"{name}: {error}") from None


def apply_profile(name: str, params: Path, profiles: Path) -> list[str]:
    """Merge ``configs/<name>.yaml`` into ``params.yaml``; comments and order stay as they are.

    An experiment with a budget of its own has ``experiments/*/<name>.yaml``, which is merged into
    the ``params.yaml`` beside it.

    Returns:
        One line ``key: old → new`` for each value that changed.

    Raises:
        ParameterError: there is no such profile, or the result would not be valid; the files are
            then left as they were.
    """
    path = profiles / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in profiles.glob("*.yaml")))
        raise ParameterError(f"There is no profile {name!r} in {profiles}. Known: {known}.")
    overlay = read_yaml(path)
    base = read_yaml(params)
    for environment in overlay:
        if environment not in base:
            raise ParameterError(
                f"{path} sets {environment}, which {params} does not have: it has "
                f"{', '.join(base)}. Name another --params."
            )
    _validate(merged(base, overlay), f"{params} with {path}")
    experiments = sorted(params.parent.glob(f"experiments/*/{name}.yaml"))
    changes = {part.with_name("params.yaml"): read_yaml(part) for part in experiments}
    lines = _merge(params, overlay, "")
    for target, change in changes.items():
        lines += _merge(target, change, f"{target.parent.relative_to(params.parent)}: ")
    return lines


def _merge(params: Path, overlay: Mapping[str, Any], prefix: str) -> list[str]:
    """Write a file with the values of ``overlay``; returns a line for each that changed."""
    yaml, text = _round_trip(), io.StringIO()
    document = yaml.load(params.read_text(encoding="utf-8"))
    changes = list(_overwrite(document, overlay, prefix))
    yaml.dump(document, text)
    with atomic_file(params) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return changes


def _round_trip() -> YAML:
    """A YAML reader and writer that keeps comments, order and the spelling of null."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar(NULL, "null")
    )
    return yaml


def _overwrite(document: Any, overlay: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in overlay.items():
        if isinstance(value, Mapping):
            yield from _overwrite(document[key], value, f"{prefix}{key}.")
        elif document[key] != value:
            yield f"{prefix}{key}: {document[key]} → {value}"
            if isinstance(value, list) and isinstance(document[key], list):
                document[key][:] = value  # it stays on one line
            else:
                document[key] = value


def main() -> None:
    """``python -m world_models.experiment [params.yaml]``: exit 2 on the first fault."""
    parser = argparse.ArgumentParser(description=check.__doc__)
    parser.add_argument("params", type=Path, nargs="?", default=Path("params.yaml"))
    parser.add_argument("--environment", help="whose parameters the overlay changes")
    parser.add_argument("--overlay", metavar="FILE:KEY,KEY…", help="an experiment's changes")
    arguments = parser.parse_args()
    try:
        check(arguments.params, arguments.params.parent / "configs")
        if arguments.overlay:
            overlay = Overlay.parse(arguments.overlay)
            check_overlay(arguments.params, arguments.environment, overlay)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
