"""Stage report: pictures of every stage, and videos played again from recorded actions."""

import shutil

import av
import numpy as np
import pytest
from PIL import Image
from test_drawing import PICTURES, write_numbers

from world_models.engine.settings import EngineSettings
from world_models.evaluation import recordings
from world_models.evaluation.recordings import Recording
from world_models.reports.parameters import ReportParameters
from world_models.stages import report
from world_models.stages.command import Context, Input, Outputs
from world_models.storage.artifact import open_artifact
from world_models.storage.scratch import Scratch
from world_models.tracking.tracker import Tracker

VIDEOS = {"agent-1.mp4", "agent-2.mp4", "agent.gif", "agent-and-dream.gif", "dream.mp4"}


def record(seed: int, steps: int) -> Recording:
    random = np.random.default_rng(seed)
    z = random.standard_normal((steps, 4), np.float32)
    return Recording(seed, random.uniform(-1, 1, (steps, 1)).astype(np.float32), z)


@pytest.mark.slow
def test_pictures_and_videos_from_stored_numbers(models, tmp_path):
    numbers = tmp_path / "numbers"
    write_numbers(numbers)
    shutil.copytree(numbers / "rollouts", numbers / "collect")  # of a pipeline that has this stage
    agent = [record(3, 50), record(4, 30)]
    recordings.save(numbers / "evaluate/agent.safetensors", agent)
    recordings.save(numbers / "evaluate/dream.safetensors", [record(5, 20), record(6, 40)])
    inputs = {"vae": Input(models / "vae", open_artifact(models / "vae", "vae", "takecover"))}
    settings = EngineSettings(workers=1, scheduler=None, timeout=300.0)
    with Scratch.open(tmp_path, "report", "takecover", "0" * 64) as scratch:
        context = Context("takecover", Tracker(), settings, scratch, numbers)
        outputs = Outputs(tmp_path / "report", None, tmp_path / "report")
        report.run(ReportParameters(video_steps=40, gif_steps=16), inputs, outputs, context)
    made = {p.relative_to(tmp_path / "report").as_posix() for p in outputs.reports.rglob("*.*")}
    expected = {f"{stage}/{name}" for stage, names in PICTURES.items() for name in names}
    expected |= {f"collect/{name}" for name in PICTURES["rollouts"]}
    assert made == expected | {f"evaluate/{name}" for name in VIDEOS}
    assert [frames(outputs.reports / f"evaluate/agent-{n}.mp4") for n in (1, 2)] == [20, 15]
    with Image.open(outputs.reports / "evaluate/agent.gif") as gif:
        assert 1 < gif.n_frames <= 4  # equal frames in a row are stored as one


def frames(path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_recordings_come_back_as_they_were(tmp_path):
    several = [record(3, 50), record(4, 1), record(5, 7)]
    recordings.save(tmp_path / "a.safetensors", several)
    again = recordings.load(tmp_path / "a.safetensors")
    assert [r.seed for r in again] == [3, 4, 5]
    for one, other in zip(several, again, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_array_equal(one.z, other.z)
