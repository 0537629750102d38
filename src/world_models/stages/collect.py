"""Stage collect: a trained agent acts in the simulator, and its episodes are stored (section 5).

Reads V, M and C; writes a data set like that of stage rollouts, for a next round of V and M.
"""

from collections.abc import Mapping

from world_models.agent import PARTS, Agent
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.stages.dataset import Dataset
from world_models.worlds import collect_agent
from world_models.worlds.collect import Limits
from world_models.worlds.parameters import CollectParameters


def run(
    parameters: CollectParameters,
    inputs: Mapping[str, Input],
    outputs: Outputs,
    context: Context,
) -> None:
    """Play what an interrupted run has not played yet, then put it together."""
    p = parameters
    paths = (inputs[part].path for part in PARTS)
    agent = Agent.open(*paths, environment=context.environment)
    limits = Limits(p.max_steps, p.patience, p.min_length)
    task = collect_agent.task(agent.parts, agent.controller, p.latent, p.renderer, limits, p.noise)
    details = {
        "policy": "agent",
        "V": agent.vision.choice.details(),
        "M": agent.memory.choice.details(),
    }
    Dataset("collect", parameters, inputs, outputs, context).make(task, details)


STAGE = Stage(
    name="collect",
    description="Let a trained agent act in the simulator, and store the episodes.",
    schema=CollectParameters,
    inputs=PARTS,
    optional={"earlier": "rollouts"},
    run=run,
)

if __name__ == "__main__":
    main(STAGE)
