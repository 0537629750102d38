"""The page of the dream: its size, how soon it dreams, and frames a second on one CPU core.

    python -m benchmarks.browser

Exports the released agents without frames of the game, which need no time of the page's. `node`
runs the page's dream.js with its kernel of WebAssembly and, in turns, in plain JavaScript;
Chromium without a window opens the page itself. Frames are counted by the second of CPU time, of
all of the browser's processes together, so that other work on the machine counts little: it is the
rate of one core that does nothing else. What is not installed is left out.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from world_models.agent import Agent
from world_models.browser import weights
from world_models.browser.page import default_ends, page, write

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src/world_models/browser/page"
SECONDS = 4.0
CODE = """
const [, dream, kernel, folder, seconds] = process.argv, fs = require("fs");
const core = require(dream)(), model = JSON.parse(fs.readFileSync(folder + "/model.json"));
const numbers = fs.readFileSync(folder + "/weights.bin"), kept = {};
for (const [name, bytes] of [["wasm", fs.readFileSync(kernel)], ["JavaScript", null]]) {
  const models = core.open(model, new Uint8Array(numbers), bytes);
  const noise = new core.Noise(1, model.z_size), dream = new core.Dream(models, 1, "threshold");
  const { frame, eps } = noise.begin(model.arrays["first.mu"].shape[0]);
  dream.begin(frame, eps);
  kept[name] = { models, dream, noise, rates: [] };
}
for (let round = 0; round < 6; round++) for (const one of Object.values(kept)) {
  const spent = () => Object.values(process.cpuUsage()).reduce((a, b) => a + b) / 1e6;
  const from = spent();
  let frames = 0;
  for (; spent() - from < seconds / 5; frames++) {
    one.dream.step(one.dream.policy(), one.noise.step());
    one.models.vision.decode(one.dream.z);
  }
  if (round) one.rates.push(frames / (spent() - from)); // the first warms up
}
console.log(JSON.stringify(Object.fromEntries(Object.entries(kept).map(([k, v]) => [k, v.rates]))));
"""


def in_node(agent: Agent) -> dict[str, list[float]]:
    """Frames a second, round by round, with the kernel and without it, in turns."""
    exported = weights.export(agent, "threshold")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.json").write_text(json.dumps(exported.model))
        Path(folder, "weights.bin").write_bytes(exported.numbers.tobytes())
        files = (str(ASSETS / "dream.js"), str(ASSETS / "kernel.wasm"), folder, str(SECONDS))
        done = subprocess.run(
            ["node", "-e", CODE, *files], capture_output=True, text=True, check=True
        )
    rates: dict[str, list[float]] = json.loads(done.stdout)
    return rates


def in_chromium(program: str, content: bytes) -> dict[str, float]:
    """Seconds until the third step; at both paces frames a second, by the clock and of CPU time."""
    import chromium

    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, chromium.page(program) as tab:
        file = write(Path(folder), content)
        tab.size(390, 844)
        begun = time.perf_counter()
        tab.open(file.as_uri())
        tab.wait("Number(document.getElementById('steps')?.textContent) >= 3")
        found["load"] = time.perf_counter() - begun
        tab.value("(ends.value = 'threshold', ends.dispatchEvent(new Event('change')))")
        for pace, name in (("1", "game"), ("0", "free")):
            tab.value(f"(pace.value = '{pace}', pace.dispatchEvent(new Event('change')))")
            tab.wait("veil.hidden || (restart.click(), true)")
            time.sleep(1.0)
            steps, cpu, begun = _steps(tab), _cpu(tab.process), time.perf_counter()
            time.sleep(SECONDS)
            frames = _steps(tab) - steps
            found[name] = frames / (time.perf_counter() - begun)
            found[f"{name} by CPU"] = frames / (_cpu(tab.process) - cpu)
        assert not tab.faults, tab.faults
    return found


def _steps(tab: Any) -> int:
    return int(tab.value("steps.textContent").replace(",", ""))


def _cpu(process: int) -> float:
    """Seconds of CPU time that a process and its descendants have used."""
    own = psutil.Process(process)
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)


def main() -> None:
    """Print a line for each environment."""
    sys.path.insert(0, str(ROOT / "tools"))
    import chromium

    program = chromium.browser()
    for environment in sys.argv[1:] or ("takecover", "carracing"):
        folder = ROOT / "released" / environment
        agent = Agent.load(folder, environment=environment)
        content = page(agent, default_ends(folder / "controller"), None)
        words = [f"{len(content) / 1e6:.1f} MB without the game's frames"]
        if shutil.which("node"):
            rates = in_node(agent)
            fast, plain = (statistics.median(rates[name]) for name in ("wasm", "JavaScript"))
            words.append(
                f"node {fast:.0f} frames a second of CPU time, plain JavaScript {plain:.0f}"
            )
            words.append(f"ratio {fast / plain:.1f}")
        if program:
            said = in_chromium(program, content)
            words.append(f"Chromium: third step after {said['load']:.2f} s")
            for name, pace in (("game", "at the game's pace"), ("free", "let loose")):
                by_cpu = said[f"{name} by CPU"]
                words.append(f"{pace} {said[name]:.0f} frames/s, {by_cpu:.0f} a second of CPU time")
        print(f"{environment}: {'; '.join(words)}", flush=True)


if __name__ == "__main__":
    main()
