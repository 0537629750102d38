"""What every stage's command line shares: arguments, parameters, resume, signals, exit codes.

A stage is a :class:`Stage` with a ``run`` function. It sees its own slice of ``params.yaml`` only,
and gets everything else (inputs, outputs, tracker, engine settings, scratch) as arguments.
"""

import argparse
import errno
import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TypeVar

from world_models import schema
from world_models.engine.parents import end_with_dvc
from world_models.engine.settings import EngineSettings
from world_models.engine.surroundings import settle
from world_models.errors import Interrupted, UserError
from world_models.schema import Overlay, Parameters
from world_models.stages import dependencies
from world_models.storage import atomic, temporary
from world_models.storage.artifact import Card, check_made_together, open_artifact
from world_models.storage.scratch import Scratch, find_root, fingerprint
from world_models.tracking.run import Source, open_run
from world_models.tracking.tracker import Tracker

P = TypeVar("P", bound=Parameters)
DRAWING, SLIDES = "world_models.reports.drawing", "world_models.reports.slides"
"""Loaded by name, after the work: pictures are no part of what a stage depends on."""
BROWSER = "world_models.browser.page"
"""Loaded by name as well: the page that plays the dream is made of finished models."""
README = "world_models.reports.readme.write"
"""Loaded by name too: what people read in an artifact's folder is drawn from the rest of it."""
EXIT_USER, EXIT_INTERRUPTED = 2, 130
WEIGHTS = {"vae": "vae", "joint": "vae", "mdnrnn": "mdnrnn", "evolve": "controller"}
"""Stages whose artifact MLflow keeps as well, and its kind; data sets are named by their digest."""
SCORES = "evaluate"
"""The stage that scores an agent, which MLflow then keeps."""


@dataclass(frozen=True)
class Input:
    """An artifact that was opened and verified: where it is, and what its card says."""

    path: Path
    card: Card


@dataclass(frozen=True)
class Outputs:
    """Where a stage writes: the artifact, small metrics, numbers for reports.

    A stage that makes no artifact has its reports folder in ``artifact`` too. ``metrics`` is None
    for a stage without metrics.
    """

    artifact: Path
    metrics: Path | None
    reports: Path

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics as JSON, keys sorted.

        Raises:
            UserError: one is not finite.
        """
        assert self.metrics is not None, "the stage declares that it has metrics"
        try:
            text = json.dumps(metrics, indent=2, sort_keys=True, allow_nan=False) + "\n"
        except ValueError:
            raise UserError(
                f"{self.metrics} would hold a number that is not finite: {dict(metrics)}. Training "
                "has diverged, or its data are broken; try a smaller learning rate."
            ) from None
        atomic.write(self.metrics, text.encode())


@dataclass(frozen=True)
class Context:
    """What surrounds a run and cannot change its result."""

    environment: str
    tracker: Tracker
    engine: EngineSettings
    scratch: Scratch
    numbers: Path | None = None
    """The folder of all stages' reports, for a stage that declares that it reads them."""


@dataclass(frozen=True)
class Stage(Generic[P]):
    """One node of the DAG.

    Attributes:
        name: stage = module = key in ``params.yaml``.
        description: one line for ``--help``.
        schema: the stage's parameters.
        inputs: kinds of artifacts that it reads; each is an argument ``--<kind> FOLDER``.
        optional: further inputs that a run may have, by the argument's name: their kinds.
        run: the work.
        artifact: whether it makes one, and so takes ``--out``.
        resume_ignores: parameters that say how far to go or how often to look. They are no part of
            what the stage's scratch is found by: with other values it goes on from the same state.
        keeps: names in the scratch that outlive success: what a longer run goes on from.
        metrics: whether it has metrics, and so takes ``--metrics``.
        numbers: whether it reads what other stages stored for reports, by ``--numbers``.
    """

    name: str
    description: str
    schema: type[P]
    inputs: tuple[str, ...]
    run: Callable[[P, Mapping[str, Input], Outputs, Context], None]
    optional: Mapping[str, str] = field(default_factory=dict)
    artifact: bool = True
    resume_ignores: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    metrics: bool = True
    numbers: bool = False


def main(stage: Stage[P], argv: list[str] | None = None) -> None:
    """Run one stage from the command line, and exit: 0 done, 2 a fault to mend, 130 interrupted."""
    arguments = _parser(stage).parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        settle()
        end_with_dvc()
        _check_all(arguments)
        _run(stage, arguments)
    except UserError as error:
        sys.exit(_say(f"{stage.name}: {error}", EXIT_USER))
    except (KeyboardInterrupt, Interrupted):
        again = "run the same command again, and it goes on where it was"
        sys.exit(_say(f"\n{stage.name}: interrupted; {again}.", EXIT_INTERRUPTED))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        sys.exit(_say(f"{stage.name}: no space left: {error}. Free some and run again.", EXIT_USER))


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr, flush=True)  # noqa: T201
    return code


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends it at once
    raise Interrupted


def _check_all(arguments: argparse.Namespace) -> None:
    """Validate the whole file, all profiles and the overlay in a process of its own.

    In this process it would load the schemas of all other stages, which are no part of this
    stage's import closure.
    """
    check = [sys.executable, "-m", "world_models.experiment", str(arguments.params)]
    if arguments.overlay:
        check += ["--environment", arguments.environment, "--overlay", arguments.overlay]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(done.stderr.strip())


def _parser(stage: Stage[P]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m world_models.stages.{stage.name}",
        description=stage.description,
        epilog="Workers, engine and tracking are execution settings, from the environment: "
        "WORLD_MODELS_WORKERS, WORLD_MODELS_SCHEDULER, WORLD_MODELS_TIMEOUT, MLFLOW_TRACKING_URI.",
    )
    add = parser.add_argument
    add("--environment", required=True, metavar="NAME", help="a key of params.yaml")
    add("--params", type=Path, default=Path("params.yaml"), metavar="FILE")
    add("--overlay", metavar="FILE:KEY,KEY…", help="what an experiment changes in the parameters")
    for kind in stage.inputs:
        add(f"--{kind}", type=Path, required=True, metavar="FOLDER", help="an input")
    for name, kind in stage.optional.items():
        add(f"--{name}", type=Path, metavar="FOLDER", help=f"a further input, {kind}")
    add("--offset", type=int, default=0, metavar="N", help="added to the stage's seed")
    if stage.artifact:
        add("--out", type=Path, required=True, metavar="FOLDER", help="the artifact")
    if stage.metrics:
        add("--metrics", type=Path, required=True, metavar="FILE", help="a small JSON")
    if stage.numbers:
        add("--numbers", type=Path, required=True, metavar="FOLDER", help="all stages' reports")
    add("--reports", type=Path, required=True, metavar="FOLDER", help="tables, arrays to draw")
    return parser


def _run(stage: Stage[P], arguments: argparse.Namespace) -> None:
    environment: str = arguments.environment
    overlay = Overlay.parse(arguments.overlay) if arguments.overlay else None
    source = Source(arguments.params, arguments.offset, overlay)
    parameters = schema.load(
        source.params,
        environment,
        stage.name,
        stage.schema,
        offset=source.offset,
        overlay=overlay,
    )
    kinds = {**{kind: kind for kind in stage.inputs}, **stage.optional}
    paths = {name: getattr(arguments, name) for name in kinds}
    inputs = {
        name: Input(path, open_artifact(path, kinds[name], environment))
        for name, path in paths.items()
        if path is not None
    }
    check_made_together({inputs[kind].path: inputs[kind].card for kind in stage.inputs})
    out = arguments.out if stage.artifact else arguments.reports
    outputs = Outputs(out, getattr(arguments, "metrics", None), arguments.reports)
    cards = [given.card for given in inputs.values()]
    values = parameters.model_dump(mode="json")
    search = {name: value for name, value in values.items() if name not in stage.resume_ignores}
    read = [given.path for given in inputs.values()]
    key = fingerprint(search, cards, dependencies.describe(stage.name, environment))
    with Scratch.open(find_root(), stage.name, environment, key) as scratch:
        with open_run(stage.name, environment, values, cards, scratch, source, read) as tracker:
            for kind, given in inputs.items():
                tracker.log_input(kind, given.path, given.card)
            engine, numbers = EngineSettings.from_environment(), getattr(arguments, "numbers", None)
            context = Context(environment, tracker, engine, scratch, numbers)
            stage.run(parameters, inputs, outputs, context)
            if stage.artifact:
                _write_readme(stage.name, outputs.artifact)
            _log_models(stage.name, inputs, outputs, tracker)
            tracker.log_outputs(outputs.metrics, outputs.reports)
            _log_pictures(stage.name, inputs, outputs.reports, environment, tracker)
            _log_page(stage.name, inputs, environment, tracker)
            if stage.artifact or stage.metrics:
                tracker.log_result(outputs.artifact if stage.artifact else arguments.metrics)
        # After the run's end, which waits for its recorder: who is killed meanwhile loses nothing.
        scratch.remove(stage.keeps)


def _write_readme(stage: str, folder: Path) -> None:
    """Write the page that people read in the artifact's folder; DVC keeps it with the rest."""
    try:
        importlib.import_module(README).write_readme(folder)
    except UserError:
        raise
    except Exception as error:  # a fault in a page must not fail hours of work
        again = f"write it with `world-models data card {folder}`"
        _say(f"{stage}: {folder} goes without its README.md: {error}; {again}.", 0)


def _log_models(
    stage: str, inputs: Mapping[str, Input], outputs: Outputs, tracker: Tracker
) -> None:
    """Record the models that a stage has made or scored, before its figures, which are theirs."""
    frames = outputs.reports.parent / "vae/frames.safetensors"
    if stage in WEIGHTS:
        tracker.log_model(outputs.artifact, WEIGHTS[stage], frames)
    if stage == SCORES:
        parts = {kind: given.path for kind, given in inputs.items()}
        tracker.log_agent(parts, outputs.reports / "episodes.csv", frames)


def _log_pictures(
    stage: str, given: Mapping[str, Input], numbers: Path, environment: str, tracker: Tracker
) -> None:
    """Draw the stage's pictures for its MLflow run; DVC has those of stage report."""
    if not tracker.recording:
        return
    vae = given["vae"].path if "vae" in given else None
    with temporary.folder() as folder:
        pictures, slides = (folder / kind for kind in ("pictures", "slides"))
        pictures.mkdir()
        slides.mkdir()
        try:
            importlib.import_module(DRAWING).draw(stage, numbers, pictures)
            importlib.import_module(SLIDES).draw(stage, numbers, environment, vae, slides)
        except Exception as error:  # a fault in a picture must not fail hours of work
            _say(f"{stage}: its MLflow run goes without pictures: {error}", 0)
        tracker.log_artifact(pictures, "reports")
        tracker.log_slides(slides)


def _log_page(stage: str, inputs: Mapping[str, Input], environment: str, tracker: Tracker) -> None:
    """Make the page that plays the scored agent's dream, for its MLflow run alone.

    It is no output of the stage: what DVC keeps does not change, nor what the stage depends on.
    """
    if stage != SCORES or not tracker.recording:
        return
    parts = {kind: given.path for kind, given in inputs.items()}
    with temporary.folder() as folder:
        try:
            importlib.import_module(BROWSER).make(parts, environment, folder)
        except Exception as error:  # a fault in a page must not fail an evaluation
            again = f"`world-models export {environment}` makes it"
            _say(f"{stage}: its MLflow run goes without the page of the dream: {error}; {again}", 0)
            return
        tracker.log_artifact(folder, "browser")
