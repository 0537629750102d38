"""Stage rollouts: act at random in the simulator and store the episodes (paper 3.1, App. A.2).

Writes ``data/<env>/rollouts``: shards of whole episodes with an index.
"""

from collections.abc import Mapping

from world_models.engine.api import Task
from world_models.envs.parameters import RolloutsParameters
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.stages.dataset import Dataset
from world_models.worlds import collect
from world_models.worlds.collect import Limits, RandomPlan


def run(
    parameters: RolloutsParameters,
    inputs: Mapping[str, Input],
    outputs: Outputs,
    context: Context,
) -> None:
    """Play what an interrupted run has not played yet, then put it together."""
    p = parameters
    plan = RandomPlan(
        environment=context.environment,
        renderer=p.renderer,
        behaviour=p.behaviour,
        hold=(p.hold_min, p.hold_max),
        limits=Limits(p.max_steps, p.patience, p.min_length),
    )
    task = Task(collect.setup_random, plan, collect.work)
    dataset = Dataset("rollouts", parameters, inputs, outputs, context)
    dataset.make(task, {"policy": p.behaviour})


STAGE = Stage(
    name="rollouts",
    description="Act at random in the simulator and store the episodes.",
    schema=RolloutsParameters,
    inputs=(),
    optional={"earlier": "rollouts"},
    run=run,
)

if __name__ == "__main__":
    main(STAGE)
