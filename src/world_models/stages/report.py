"""Stage report: pictures and videos, drawn from the numbers that the other stages stored.

Reads ``reports/<env>/<stage>`` and V; writes ``reports/<env>/report``, a folder for each stage.
Nothing depends on it, so a change in a picture costs no more than drawing.
"""

from collections.abc import Mapping
from pathlib import Path

from world_models.engine.api import Task
from world_models.engine.settings import EngineSettings, open_engine
from world_models.evaluation import recordings
from world_models.evaluation.recordings import Recording
from world_models.progress import progress
from world_models.reports import drawing, films
from world_models.reports.parameters import ReportParameters
from world_models.reports.replay import Film, replay_unit
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import atomic
from world_models.vision.model import Vision


def run(
    parameters: ReportParameters, inputs: Mapping[str, Input], outputs: Outputs, context: Context
) -> None:
    """Draw everything anew; it takes seconds to a minute."""
    numbers = context.numbers
    assert numbers is not None, "the stage declares that it reads numbers"
    vision = Vision.load(inputs["vae"].path, context.environment)
    with atomic.atomic_folder(outputs.reports) as draft:
        for stage in drawing.DRAW:
            if (numbers / stage).exists():  # experiments have some of the stages
                (draft / stage).mkdir()
                drawing.draw(stage, numbers / stage, draft / stage)
        _videos(parameters, context, vision, numbers / "evaluate", draft / "evaluate")


def _videos(
    parameters: ReportParameters, context: Context, vision: Vision, numbers: Path, out: Path
) -> None:
    agent, dream = (recordings.load(numbers / f"{n}.safetensors") for n in ("agent", "dream"))
    played = _replay_all(context.environment, agent, parameters.video_steps, context.engine)
    views = [films.view(film, vision) for film in played]
    for number, seen in enumerate(views, start=1):
        films.write_agent(out / f"agent-{number}.mp4", context.environment, [seen])
    dreamed = films.dreamed(dream, vision, parameters.video_steps)
    films.write_dream(out, context.environment, views[0], dreamed)
    films.write_gifs(out, context.environment, views[0], dreamed, parameters.gif_steps)


def _replay_all(
    environment: str, agent: list[Recording], steps: int, settings: EngineSettings
) -> list[Film]:
    """The recorded episodes once more, now in a simulator that draws pictures for people."""
    films_: dict[int, Film] = {}
    task = Task(None, (environment, steps, films.STRIDE), replay_unit)
    title = f"film {environment}"
    with open_engine(settings) as engine, progress(len(agent), title) as bar:
        for index, film in engine.run(task, agent):
            films_[index] = film
            bar.advance(1)
    return [films_[index] for index in range(len(agent))]


STAGE = Stage(
    name="report",
    description="Draw pictures and videos from the numbers that the other stages stored.",
    schema=ReportParameters,
    inputs=("vae",),
    run=run,
    artifact=False,
    metrics=False,
    numbers=True,
)

if __name__ == "__main__":
    main(STAGE)
