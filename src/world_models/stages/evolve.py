"""Stage evolve: C by CMA-ES, in reality or wholly inside M's dream (paper 3.4, App. A.4).

Reads V and M; writes ``models/<env>/controller``, the history of generations as CSV and a plot.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec, Sizes, count
from world_models.engine.api import Engine, Task
from world_models.engine.settings import open_engine
from world_models.envs import catalogue
from world_models.evolution.history import History
from world_models.evolution.loop import Best, Evolution, Scores
from world_models.evolution.parameters import EvolveParameters
from world_models.evolution.strategy import Strategy
from world_models.memory.model import Memory
from world_models.progress import progress
from world_models.reports.evolve import figure
from world_models.seeding import episode_seeds
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import artifact, atomic, tensors
from world_models.vision.model import Vision
from world_models.worlds import arena
from world_models.worlds.arena import ArenaPlan, Bout
from world_models.worlds.build import DreamPlan, Plan, RealityPlan
from world_models.worlds.episodes import Outcomes

HISTORY = "history.safetensors"
"""Name in the scratch."""


def run(
    parameters: EvolveParameters, inputs: Mapping[str, Input], outputs: Outputs, context: Context
) -> None:
    """Evolve C, from where an interrupted run was."""
    vision = Vision.load(inputs["vae"].path, context.environment)
    memory = Memory.load(inputs["mdnrnn"].path, context.environment)
    memory.check(vision.z_size)
    environment = catalogue.specification(context.environment)
    spec = ControllerSpec(parameters.features, parameters.hidden, environment.bias)
    sizes = Sizes(vision.z_size, memory.hidden_size, memory.action_size)
    evolution = _resume(parameters, count(spec, sizes), context)
    world = _world_plan(parameters, context.environment, vision, memory)
    with open_engine(context.engine) as engine:
        plan = ArenaPlan(world, spec, sizes, environment.actions.squash)
        task = Task(arena.setup, plan, arena.work)
        _generations(parameters, evolution, Fitness(engine, task, parameters), context)
    _write(parameters, evolution, (spec, sizes), inputs, outputs, context)


def _resume(parameters: EvolveParameters, size: int, context: Context) -> Evolution:
    stored = context.scratch.load(HISTORY)
    history = History.from_arrays(tensors.from_bytes(stored)) if stored else History()
    strategy = Strategy(
        np.zeros(size),
        sigma=parameters.sigma,
        population=parameters.population,
        variant=parameters.variant,
        seed=parameters.seed,
    )
    return Evolution(
        strategy,
        history,
        generations=parameters.generations,
        validate_every=parameters.validate_every,
    )


def _world_plan(
    parameters: EvolveParameters, environment: str, vision: Vision, memory: Memory
) -> Plan:
    if parameters.world == "dream":
        assert parameters.tau is not None
        return DreamPlan(
            num_envs=parameters.batch,
            features=parameters.features,
            tau=parameters.tau,
            cap=catalogue.specification(environment).cap,
            mdnrnn=memory.payload(),
        )
    assert parameters.renderer is not None
    assert parameters.latent is not None
    return RealityPlan(
        environment=environment,
        renderer=parameters.renderer,
        num_envs=parameters.batch,
        features=parameters.features,
        latent=parameters.latent,
        vae=vision.payload(),
        mdnrnn=memory.payload(),
    )


@dataclass(frozen=True)
class Fitness:
    """Mean return over episodes whose seeds all candidates of a generation share."""

    engine: Engine
    task: Task
    parameters: EvolveParameters

    def __call__(
        self, generation: int, candidates: NDArray[np.float64], mean: NDArray[np.float64] | None
    ) -> Scores:
        """See :class:`~world_models.evolution.loop.Evaluate`."""
        p = self.parameters
        # Validations first: they play in full, and the shorter bouts then fill the gaps.
        validations = [] if mean is None else list(self._validations(mean))
        bouts = validations + list(self._bouts(generation, candidates))
        outcomes = dict(self.engine.run(self.task, bouts))
        done = [outcomes[index] for index in range(len(bouts))]
        validated, trained = done[: len(validations)], done[len(validations) :]
        return Scores(
            fitness=_returns(trained).reshape(-1, p.rollouts).mean(axis=1),
            validation=_returns(validated) if validated else None,
            steps=sum(int(outcome.lengths.sum()) for outcome in done),
        )

    def _validations(self, mean: NDArray[np.float64]) -> Iterator[Bout]:
        p = self.parameters
        seeds = episode_seeds("validation", p.seed, 0, p.validation_episodes)
        for start in range(0, len(seeds), p.batch):
            yield Bout(_single(mean[None]), seeds[start : start + p.batch])

    def _bouts(self, generation: int, candidates: NDArray[np.float64]) -> Iterator[Bout]:
        p = self.parameters
        seeds = episode_seeds("training", p.seed, generation * p.rollouts, p.rollouts)
        share = p.batch // p.rollouts
        for start in range(0, len(candidates), share):
            theta = _single(candidates[start : start + share])
            yield Bout(theta, np.tile(seeds, len(theta)), p.patience, p.max_steps)


def _single(theta: NDArray[np.float64]) -> NDArray[np.float32]:
    return theta.astype(np.float32)


def _returns(outcomes: list[Outcomes]) -> NDArray[np.float64]:
    return np.concatenate([outcome.returns for outcome in outcomes] or [np.empty(0)])


def _generations(
    parameters: EvolveParameters, evolution: Evolution, fitness: Fitness, context: Context
) -> None:
    title = f"evolve {context.environment} in {parameters.world}"
    done = len(evolution.history)
    with progress(parameters.generations, title, done=done) as bar:
        for number in evolution.generations(fitness):
            context.scratch.save(HISTORY, tensors.to_bytes(evolution.history.arrays()))
            row = _last_row(evolution)
            context.tracker.log_metrics(_metrics(row), step=number)
            bar.advance(1, note=_note(row, evolution.best))


def _last_row(evolution: Evolution) -> dict[str, float]:
    row = evolution.history.table(evolution.sigmas).iloc[-1]
    return {str(name): float(value) for name, value in row.items()}


def _metrics(row: Mapping[str, float]) -> dict[str, float]:
    """A row without the number of its generation and without what was not measured."""
    return {k: v for k, v in row.items() if k != "generation" and np.isfinite(v)}


def _note(row: Mapping[str, float], best: Best | None) -> str:
    note = f"mean {row['mean']:.1f}, best {row['best']:.1f}, σ {row['sigma']:.3f}"
    if best is None:
        return note
    return f"{note}, validated {best.validation.mean():.1f} (generation {best.generation})"


def _write(
    parameters: EvolveParameters,
    evolution: Evolution,
    shape: tuple[ControllerSpec, Sizes],
    inputs: Mapping[str, Input],
    outputs: Outputs,
    context: Context,
) -> None:
    best = evolution.best
    assert best is not None, "the last mean is always validated"
    controller = Controller(*shape, best.theta.astype(np.float32))
    metrics = {
        "validation": float(best.validation.mean()),
        "validation_sd": float(best.validation.std(ddof=1)) if len(best.validation) > 1 else 0.0,
        "validation_episodes": len(best.validation),
        "generation": best.generation,
        "steps": sum(evolution.history.steps),
    }
    with artifact.create(
        outputs.artifact,
        kind="controller",
        environment=context.environment,
        stage="evolve",
        parameters=parameters.model_dump(mode="json"),
        metrics=metrics,
        details=controller.payload()[1],
        upstream=[given.card for given in inputs.values()],
    ) as folder:
        controller.save(folder)
    _report(evolution.history.table(evolution.sigmas), outputs.reports)
    text = json.dumps(metrics, indent=2, sort_keys=True) + "\n"
    atomic.write(outputs.metrics, text.encode())


def _report(table: pd.DataFrame, reports: Path) -> None:
    with atomic.atomic_folder(reports) as folder:
        table.to_csv(folder / "history.csv", index=False)
        figure(table).savefig(folder / "history.png", dpi=110, metadata={"Software": None})


STAGE = Stage(
    name="evolve",
    description="Evolve C by CMA-ES, in reality or in M's dream.",
    schema=EvolveParameters,
    inputs=("vae", "mdnrnn"),
    run=run,
)

if __name__ == "__main__":
    main(STAGE)
