"""Stage evolve: C, in reality or wholly inside M's dream (paper 3.4, App. A.4).

Reads V and M; writes ``models/<env>/controller``, the history of generations as CSV.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec, count
from world_models.engine.api import Engine
from world_models.engine.settings import open_engine
from world_models.envs import catalogue
from world_models.errors import InputError
from world_models.evolution.history import Generation, History, table
from world_models.evolution.loop import Best, Evaluate, Evolution
from world_models.evolution.optimiser import OPTIMISERS, Optimiser
from world_models.evolution.parameters import EvolveParameters
from world_models.memory.model import Memory
from world_models.progress import progress
from world_models.seeding import stream
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import artifact, atomic, tensors
from world_models.vision.model import Vision
from world_models.worlds import lookahead
from world_models.worlds.arena import ArenaPlan
from world_models.worlds.build import Parts, Plan
from world_models.worlds.fitness import Fitness, Rules
from world_models.worlds.lookahead import LookAhead, Looked

HISTORY, LOOKED = "history.safetensors", "looked.safetensors"
"""Names in the scratch."""


def run(
    parameters: EvolveParameters, inputs: Mapping[str, Input], outputs: Outputs, context: Context
) -> None:
    """Evolve C, from where an interrupted or a shorter run ended.

    The first search begins at the input ``start``, or at zeros, or at what looking ahead made of
    these; restarts begin at what looking ahead found, or at zeros.
    """
    vision = Vision.load(inputs["vae"].path, context.environment)
    memory = Memory.load(inputs["mdnrnn"].path, context.environment)
    about = catalogue.specification(context.environment)
    world = _world_plan(parameters, Parts(context.environment, vision, memory))
    spec = ControllerSpec(
        features=parameters.features,
        inputs=memory.feature_size(parameters.features),
        hidden=parameters.hidden,
        outputs=memory.action_size,
        bias=about.bias,
    )
    plan = ArenaPlan(world, spec, about.actions.squash)
    stored = context.scratch.load(HISTORY)
    history = History.from_arrays(tensors.from_bytes(stored)) if stored else History()
    with open_engine(context.engine) as engine:
        looked = Looked.nothing(spec, _first_mean(spec, inputs.get("start")))
        if parameters.lookahead_rounds:
            looked = _look_ahead(parameters, looked, engine, plan, memory, context)
        anew = looked.theta if parameters.lookahead_rounds else np.zeros(count(spec))
        evolution = _evolution(parameters, looked.theta, anew, history)
        difficulty = about.judge() if parameters.hardest_of else None
        fitness = Fitness(engine, plan, _rules(parameters), difficulty)
        _generations(parameters, evolution, history, fitness, context)
    _write(parameters, evolution, looked, spec, inputs, outputs, context)


def _first_mean(spec: ControllerSpec, start: Input | None) -> NDArray[np.float64]:
    """Zeros, or the weights of the input ``start``, float64 (P,).

    Raises:
        InputError: that C has another shape.
    """
    if start is None:
        return np.zeros(count(spec))
    found = Controller.load(start.path, start.card.environment)
    if found.spec != spec:
        raise InputError(
            f"{start.path} is {found.spec}, but {spec} is to be evolved: start from a C of this "
            "shape, or from none."
        )
    return found.theta.astype(np.float64)


def _look_ahead(
    parameters: EvolveParameters,
    looked: Looked,
    engine: Engine,
    plan: ArenaPlan,
    memory: Memory,
    context: Context,
) -> Looked:
    """Let M's dreams advise C; see :mod:`world_models.worlds.lookahead`."""
    p = parameters
    assert p.lookahead_rounds is not None
    assert p.lookahead_moments is not None
    assert p.lookahead_steps is not None
    stored = context.scratch.load(LOOKED)
    looked = Looked.from_arrays(tensors.from_bytes(stored)) if stored else looked
    ahead = LookAhead(
        engine,
        plan,
        memory.seen(p.features),
        seed=p.seed,
        moments=p.lookahead_moments,
        steps=p.lookahead_steps,
        max_steps=p.max_steps,
    )
    title = f"look ahead in {context.environment}'s dream"
    with progress(p.lookahead_rounds, title, done=len(looked.rounds)) as bar:
        for after in ahead.rounds(looked, p.lookahead_rounds):
            looked = after
            context.scratch.save(LOOKED, tensors.to_bytes(looked.arrays()))
            found = looked.rounds[-1]
            values = {f"lookahead_{name}": value for name, value in found._asdict().items()}
            context.tracker.log_metrics(values, step=len(looked.rounds))
            bar.advance(1, note=f"lives {found.visited:.0f}, explains {found.explained:.2f}")
    return looked


def _evolution(
    parameters: EvolveParameters,
    first_mean: NDArray[np.float64],
    anew: NDArray[np.float64],
    history: History,
) -> Evolution:
    def make(restart: int) -> Optimiser:
        random = stream(parameters.seed, "evolution", *([restart] if restart else []))
        made = OPTIMISERS[parameters.optimiser].make
        mean = anew if restart else first_mean
        return made(mean, random=random, **parameters.optimiser_settings())

    return Evolution(
        make,
        history,
        generations=parameters.generations,
        restart_every=parameters.restart_every,
        validate_every=parameters.validate_every,
        validation_episodes=parameters.validation_episodes,
        finalists=parameters.finalists,
        final_episodes=parameters.final_episodes,
        validate_first=bool(first_mean.any()),
    )


def _rules(parameters: EvolveParameters) -> Rules:
    return Rules(
        seed=parameters.seed,
        rollouts=parameters.rollouts,
        groups=parameters.groups,
        hardest_of=parameters.hardest_of,
        batch=parameters.batch,
        max_steps=parameters.max_steps,
        patience=parameters.patience,
        validation_episodes=parameters.validation_episodes,
    )


def _world_plan(parameters: EvolveParameters, parts: Parts) -> Plan:
    p = parameters
    if p.world == "dream":
        assert p.tau is not None
        assert p.ends is not None
        assert p.dropout is not None
        parts.check_dream()
        return parts.dream(p.features, p.tau, p.batch, p.ends, p.dropout)
    assert p.renderer is not None
    assert p.latent is not None
    return parts.reality(p.features, p.latent, p.renderer, p.batch, p.changed)


def _generations(
    parameters: EvolveParameters,
    evolution: Evolution,
    history: History,
    fitness: Evaluate,
    context: Context,
) -> None:
    title = f"evolve {context.environment} in {parameters.world}"
    done = min(len(history), parameters.generations)
    with progress(parameters.generations, title, done=done) as bar:
        for generation in evolution.generations(fitness):
            if generation.new:
                context.scratch.save(HISTORY, tensors.to_bytes(history.arrays()))
            if generation.new or not context.tracker.continued:
                _log(evolution.done, context)
            if generation.number > done:
                bar.advance(1, note=_note(generation, evolution.best))


def _log(done: Sequence[Generation], context: Context) -> None:
    generation = done[-1]
    for number, validation in generation.validations.items():
        mean = float(validation.returns.mean())
        context.tracker.log_metrics({"validation": mean}, step=number)
    returns = generation.returns
    values = {
        "best": returns.max(),
        "mean": returns.mean(),
        "sd": returns.std(),
        "sigma": generation.sigma,
        "steps": sum(each.steps for each in done),
    }
    context.tracker.log_metrics(values, step=generation.number)


def _note(generation: Generation, best: Best | None) -> str:
    returns = generation.returns
    note = f"mean {returns.mean():.1f}, best {returns.max():.1f}, σ {generation.sigma:.3f}"
    if best is None:
        return note
    return f"{note}, validated {best.validation.mean():.1f} (generation {best.generation})"


def _write(
    parameters: EvolveParameters,
    evolution: Evolution,
    looked: Looked,
    spec: ControllerSpec,
    inputs: Mapping[str, Input],
    outputs: Outputs,
    context: Context,
) -> None:
    best = evolution.best
    assert best is not None, "the last mean is always validated"
    controller = Controller(spec, best.theta.astype(np.float32))
    ahead = sum(found.steps for found in looked.rounds)
    metrics = {
        "validation": float(best.validation.mean()),
        "validation_sd": float(best.validation.std(ddof=1)) if len(best.validation) > 1 else 0.0,
        "validation_episodes": len(best.validation),
        "generation": best.generation,
        "steps": ahead + sum(generation.steps for generation in evolution.done),
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
    with atomic.atomic_folder(outputs.reports) as folder:
        table(evolution.done, ahead).to_csv(folder / "history.csv", index=False)
        lookahead.table(looked.rounds).to_csv(folder / "lookahead.csv", index=False)
    outputs.write_metrics(metrics)


STAGE = Stage(
    name="evolve",
    description="Evolve C, in reality or in M's dream.",
    schema=EvolveParameters,
    inputs=("vae", "mdnrnn"),
    optional={"start": "controller"},
    run=run,
    keeps=(HISTORY, LOOKED),
    resume_ignores=(
        *("generations", "validate_every", "validation_episodes"),
        *("finalists", "final_episodes"),
    ),
)

if __name__ == "__main__":
    main(STAGE)
