"""The page's models and dream, run by Node, against the Python dream on equal noise.

Both compute in float32 and add in different orders. Over 100 steps their z stay within TOLERANCE,
in units of z, whose scale is 1; decoded pictures within LEVELS of 255, since the page's first layer
is two layers of V multiplied out and rounded to float16 once more.
"""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from small_agents import ASSETS, drawn, released

from world_models.agent import Agent
from world_models.browser import weights
from world_models.memory.sizes import Sizes
from world_models.memory.threads import one_thread
from world_models.worlds.dream import Dream
from world_models.worlds.dream_noise import DreamNoise

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node on the PATH, which runs dream.js")
STEPS, EVERY = 100, 10
TOLERANCE, LEVELS = 1e-4, 2
SEED = 7
AGENTS = {
    "takecover, released": lambda patch: released("takecover", patch),
    "carracing, released": lambda patch: released("carracing", patch),
    "GRU, a reward and an end, C with a hidden layer": lambda _: drawn(
        "carracing",
        Sizes(6, 3, 10, 3, restart=False, reward_head=True, end_head=True, cell="gru"),
        "zh",
        5,
    ),
    "LSTM, all letters, numbered actions": lambda _: drawn(
        "healthgathering",
        Sizes(5, 3, 9, 2, restart=True, reward_head=True, end_head=False),
        "zch",
        0,
    ),
}


def noise(agent: Agent) -> dict:
    """What DreamNoise gives a dream of SEED: first frame, eps, and each step's numbers."""
    made = DreamNoise(1, agent.memory.z_size)
    member = np.zeros(1, np.int64)
    frames, eps = made.begin(member, [SEED], len(agent.memory.initial.mu))
    steps = []
    for _ in range(STEPS):
        (row,) = made.rows(member)
        v = float(made.v[row])
        steps.append({"u": made.u[row].tolist(), "eps": made.eps[row].tolist(), "v": v})
    return {"frame": int(frames[0]), "eps": eps[0].tolist(), "noise": steps}


@one_thread()
def dreamed(agent: Agent, tau: float, ends: str) -> dict:
    """The Python dream with C in it, until its end."""
    features = agent.controller.spec.features
    dream = Dream(agent.memory, tau=tau, cap=10**6, num_envs=1, features=features, ends=ends)
    seen, size = dream.reset([SEED]), agent.memory.z_size
    found = {"z": [seen[0, :size].copy()], "actions": [], "ended": [], "total": 0.0}
    while len(found["actions"]) < STEPS and not any(found["ended"]):
        action = agent.policy(seen)
        step = dream.step(action)
        seen = step.features
        found["actions"].append(action[0].copy())
        found["ended"].append(bool(step.terminated[0]))
        found["total"] += float(step.rewards[0])
        found["z"].append(seen[0, :size].copy())
    return found


def followed(agent: Agent, tau: float, ends: str, steps: int, kernel: str) -> dict:
    """The page's."""
    exported = weights.export(agent, ends)
    given = noise(agent)
    case = {
        "model": exported.model,
        "weights": base64.b64encode(exported.numbers.tobytes()).decode(),
        "tau": tau,
        "ends": ends,
        "every": EVERY,
        **given,
        "noise": given["noise"][:steps],
    }
    wasm = str(ASSETS / "kernel.wasm") if kernel == "wasm" else "-"
    script = str(ASSETS.parents[3] / "tests/unit/browser/follow.js")
    command = [NODE, script, str(ASSETS / "dream.js"), wasm]
    done = subprocess.run(
        command, input=json.dumps(case), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=AGENTS)
def python(request):
    """An agent, and its dream in Python."""
    with pytest.MonkeyPatch.context() as patch:
        agent = AGENTS[request.param](patch)
        return agent, dreamed(agent, 1.15, "drawn")


@needs_node
@pytest.mark.parametrize("kernel", ["wasm", "JavaScript alone"])
def test_latents_follow_the_python_dream(python, kernel):
    agent, wanted = python
    steps = len(wanted["actions"])
    assert steps > STEPS // 4
    found = followed(agent, 1.15, "drawn", steps, kernel)
    np.testing.assert_allclose(found["z"], wanted["z"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["actions"], wanted["actions"], rtol=0, atol=10 * TOLERANCE)
    assert found["ended"] == wanted["ended"]
    assert found["total"] == pytest.approx(wanted["total"], abs=1e-3)
    pictures = np.array(found["pictures"], np.uint8).reshape(-1, 64, 64, 4)
    decoded = agent.vision.decode(np.stack(wanted["z"])[::EVERY])
    assert np.all(pictures[..., 3] == 255)
    apart = np.abs(pictures[..., :3].astype(int) - decoded)
    assert apart.max() <= LEVELS
    assert apart.mean() < 0.1


@needs_node
@pytest.mark.parametrize("ends", ["drawn", "threshold"])
def test_the_dream_ends_by_the_same_rule(ends):
    sizes = Sizes(4, 1, 8, 2, restart=True, reward_head=False, end_head=False)
    agent = drawn("takecover", sizes, "zch", 0)
    # Ends that are likely, and near the border of the rule.
    bias = agent.memory._network.restart.bias
    with torch.no_grad():
        bias += 4 + (2.0 if ends == "drawn" else -0.3)
    wanted = dreamed(agent, 1.0, ends)
    assert wanted["ended"][-1]
    found = followed(agent, 1.0, ends, len(wanted["ended"]), "wasm")
    assert found["ended"] == wanted["ended"]
    risk = 1 / (1 + np.exp(-np.log(1 / 10)))  # of a logit of 0, whose odds were counted ten times
    assert (found["risks"][-1] > risk) or ends == "drawn"


@needs_node
def test_the_pages_noise_is_uniform_normal_and_repeatable(tmp_path):
    code = (
        f"const {{ Noise }} = require({str(ASSETS / 'dream.js')!r})();"
        "const draw = (seed) => { const n = new Noise(seed, 50), all = [];"
        "for (let i = 0; i < 400; i++) all.push(n.step()); return all; };"
        "const same = JSON.stringify(draw(5)) === JSON.stringify(draw(5));"
        "const flat = (k) => draw(5).flatMap((step) => Array.from(step[k]));"
        "console.log(JSON.stringify([same, flat('u'), flat('eps'), draw(6).map((s) => s.v)]))"
    )
    done = subprocess.run([NODE, "-e", code], capture_output=True, text=True, check=True)
    same, u, eps, v = json.loads(done.stdout)
    assert same
    for uniform in (u, v):
        assert min(uniform) >= 0
        assert max(uniform) < 1
    assert np.mean(u) == pytest.approx(0.5, abs=0.01)
    assert np.var(u) == pytest.approx(1 / 12, abs=0.002)
    assert np.mean(eps) == pytest.approx(0, abs=0.03)
    assert np.var(eps) == pytest.approx(1, abs=0.04)
    assert abs(np.corrcoef(u, eps)[0, 1]) < 0.03
