"""``params.yaml``, the profiles and the schemas against each other."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from world_models.errors import ParameterError
from world_models.experiment import Pipeline, apply_profile, check
from world_models.origin.lock import leaves
from world_models.schema import merged, read_yaml, validate

ROOT = Path(__file__).resolve().parents[2]
PARAMS, CONFIGS = ROOT / "params.yaml", ROOT / "configs"
PROFILES = ("smoke", "laptop", "overnight", "paper")


@pytest.fixture
def workspace(tmp_path):
    """A copy of the experiment's files that a test may spoil."""
    (tmp_path / "configs").mkdir()
    for path in [PARAMS, *CONFIGS.glob("*.yaml")]:
        target = tmp_path / path.relative_to(ROOT)
        target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_all_profiles_are_valid():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(PROFILES)
    check(PARAMS, CONFIGS)


def test_laptop_is_what_is_committed():
    base = read_yaml(PARAMS)
    assert merged(base, read_yaml(CONFIGS / "laptop.yaml")) == base


def test_every_profile_sets_the_same_keys_so_that_switching_is_reversible():
    keys = {name: [k for k, _ in leaves(read_yaml(CONFIGS / f"{name}.yaml"))] for name in PROFILES}
    assert all(sorted(listed) == sorted(keys["laptop"]) for listed in keys.values())


@pytest.mark.parametrize(
    "smoke", sorted(ROOT.glob("experiments/*/smoke.yaml")), ids=lambda p: p.parent.name
)
def test_an_experiment_comes_back_from_smoke_scale(smoke):
    laptop, base = (
        read_yaml(smoke.with_name("laptop.yaml")),
        read_yaml(smoke.with_name("params.yaml")),
    )
    assert merged(base, laptop) == base
    assert [k for k, _ in leaves(read_yaml(smoke))] == [k for k, _ in leaves(laptop)]


def test_schemas_hold_no_defaults_and_describe_every_key():
    for name, model in Pipeline.model_json_schema()["$defs"].items():
        properties = model.get("properties", {})
        assert set(model.get("required", [])) == set(properties), name
        for key, field in properties.items():
            assert "default" not in field, f"{name}.{key}"
            assert "$ref" in field or field.get("description"), f"{name}.{key}"


def test_every_stage_has_its_own_seed_but_report_which_draws_pictures_only():
    for pipeline in read_yaml(PARAMS).values():
        assert [name for name, stage in pipeline.items() if "seed" not in stage] == ["report"]


def test_the_guide_to_an_own_environment_names_every_parameter():
    page = (ROOT / "docs/own-environment.md").read_text(encoding="utf-8")
    block = re.search(
        r"^```yaml\n(# experiments/cartpole/params.yaml\n.*?)^```$", page, re.S | re.M
    )
    assert block
    (pipeline,) = YAML(typ="safe").load(block[1]).values()
    validate(Pipeline, pipeline, "cartpole")


def test_profiles_merge_and_come_back_to_the_same_bytes(workspace):
    params, configs = workspace / "params.yaml", workspace / "configs"
    before = params.read_bytes()
    assert apply_profile("smoke", params, configs)
    assert merged(read_yaml(PARAMS), read_yaml(CONFIGS / "smoke.yaml")) == read_yaml(params)
    assert apply_profile("laptop", params, configs)
    assert params.read_bytes() == before
    assert apply_profile("laptop", params, configs) == []


def test_a_profile_reaches_the_experiments(workspace):
    folder = workspace / "experiments/one"
    folder.mkdir(parents=True)
    text = "common:\n  evaluate: {episodes: 9}  # kept\n"
    (folder / "params.yaml").write_text(text)
    (folder / "smoke.yaml").write_text("common: {evaluate: {episodes: 2}}")
    changes = apply_profile("smoke", workspace / "params.yaml", workspace / "configs")
    assert changes[-1] == "experiments/one: common.evaluate.episodes: 9 → 2"
    assert (folder / "params.yaml").read_text() == text.replace("9", "2")


def test_unknown_profile_names_the_known_ones(workspace):
    with pytest.raises(ParameterError, match=r"'big'.*laptop, overnight, paper, smoke"):
        apply_profile("big", workspace / "params.yaml", workspace / "configs")


def test_profile_that_would_be_invalid_changes_nothing(workspace):
    params, configs = workspace / "params.yaml", workspace / "configs"
    before = params.read_bytes()
    (configs / "bad.yaml").write_text("carracing: {vae: {learning_rate: -1.0}}\n")
    with pytest.raises(ParameterError, match=r"carracing\.vae\.learning_rate = -1\.0"):
        apply_profile("bad", params, configs)
    assert params.read_bytes() == before


IN_DREAM = (
    "carracing: {evolve: {world: dream, tau: 1, ends: drawn, dropout: 0, "
    "lookahead_rounds: 0, latent: , renderer: , disturbance: , strength: , hardest_of: }}"
)

IN_REALITY = (
    "takecover: {evolve: {world: reality, renderer: fast, latent: mean, disturbance: none, "
    "strength: 0.0, tau: , ends: , dropout: , lookahead_rounds: , lookahead_moments: , "
    "lookahead_steps: , hardest_of: 4}}"
)


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            "{vae: {learning_rat: 0.1}}",
            r"carracing\.vae\.learning_rat: .*Did you mean learning_rate",
        ),
        ("{report: {zoom: 2}}", r"carracing\.report\.zoom: unknown.*Known here: video_steps, gif_"),
        ("{vae: {learning_rate: fast}}", r"carracing\.vae\.learning_rate = 'fast': .*number"),
        ("{vae: {batch_size: 1.5}}", r"carracing\.vae\.batch_size = 1\.5: .*integer"),
        ("{vae: {batch_size: 0}}", r"carracing\.vae\.batch_size = 0: .*greater than"),
        ("{vae: {learning_rate: .nan}}", r"carracing\.vae\.learning_rate = nan: .*finite"),
        ("{flight: {seed: 1}}", r"carracing\.flight: unknown parameter"),
    ],
)
def test_a_fault_in_any_profile_is_one_clear_line(workspace, overlay, message):
    (workspace / "configs/zz.yaml").write_text(f"carracing: {overlay}\n")
    with pytest.raises(ParameterError, match=message) as fault:
        check(workspace / "params.yaml", workspace / "configs")
    assert len(str(fault.value).splitlines()) == 1
    assert "zz.yaml" in str(fault.value)


def test_missing_key_is_named(workspace):
    edit(workspace / "params.yaml", "    kl_tolerance: 0.5\n", "")
    with pytest.raises(ParameterError, match=r"carracing\.vae\.kl_tolerance: missing"):
        check(workspace / "params.yaml", workspace / "configs")


def test_an_unknown_environment_is_one_clear_line(workspace):
    (workspace / "params.yaml").write_text("boxing: {}\n")
    with pytest.raises(ParameterError, match=r"no environment 'boxing'. Known: .*carracing"):
        check(workspace / "params.yaml", workspace / "none")


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            "takecover: {evaluate: {disturbance: friction, strength: 0.1}}",
            r"takecover\.evaluate: DoomTakeCover has no disturbance 'friction'",
        ),
        (
            "carracing: {evolve: {disturbance: friction, strength: 0.5}}",
            r"carracing\.evolve: strength = 0\.5: .* friction goes from 0 to 0\.4",
        ),
        (
            IN_REALITY,
            r"takecover: evolve\.hardest_of must be null: in DoomTakeCover",
        ),
        (
            "carracing: {evaluate: {disturbance: friction, strength: 0.5}}",
            r"carracing\.evaluate: strength = 0\.5: .* friction goes from 0 to 0\.4",
        ),
        (
            "carracing: {evaluate: {strength: 0.1}}",
            r"carracing\.evaluate: strength 0\.1 of no disturbance: .* set strength to 0\.0",
        ),
        ("carracing: {evaluate: {disturbance: fog, strength: 0.1}}", r"disturbance = 'fog'.*blob"),
    ],
)
def test_a_disturbance_that_an_environment_does_not_have_is_one_clear_line(
    workspace, overlay, message
):
    (workspace / "configs/zz.yaml").write_text(f"{overlay}\n")
    with pytest.raises(ParameterError, match=message) as fault:
        check(workspace / "params.yaml", workspace / "configs")
    assert len(str(fault.value).splitlines()) == 1


def test_no_episode_is_longer_than_the_cap(workspace):
    steps = read_yaml(PARAMS)["carracing"]["rollouts"]["max_steps"]
    edit(workspace / "params.yaml", f"max_steps: {steps}", "max_steps: 1001")
    with pytest.raises(ParameterError, match=r"carracing\.rollouts\.max_steps = 1001: .*1000"):
        check(workspace / "params.yaml", workspace / "none")


COLLECT = {
    "episodes": 5,
    "max_steps": 1000,
    "patience": None,
    "min_length": 1,
    "latent": "mean",
    "noise": 0.0,
    "renderer": "fast",
    "shard_episodes": 8,
    "seed": 11,
}


def check_collect(workspace, **changes):
    (workspace / "more").mkdir()
    overlay = {"carracing": {"collect": COLLECT | changes}}
    (workspace / "more/collect.yaml").write_text(json.dumps(overlay))
    check(workspace / "params.yaml", workspace / "more")


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ("carracing: {evolve: {features: zq}}", r"carracing: features = 'zq'.* no part q"),
        ("carracing: {evolve: {features: zhh}}", r"carracing: features = 'zhh'"),
        ("takecover: {mdnrnn: {cell: gru}}", r"takecover: features = 'zch'.*\(gru\) has no part c"),
        (IN_DREAM, r"carracing: evolve.world = 'dream'.*mdnrnn.reward_head to true"),
    ],
)
def test_what_two_stages_contradict_each_other_in_is_refused(workspace, overlay, message):
    (workspace / "configs/zz.yaml").write_text(overlay)
    with pytest.raises(ParameterError, match=message):
        check(workspace / "params.yaml", workspace / "configs")


def test_an_experiment_may_collect_with_an_agent(workspace):
    check_collect(workspace)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_steps": 1001}, r"carracing\.collect\.max_steps = 1001: .*1000"),
        ({"behaviour": "held"}, r"carracing\.collect\.behaviour: unknown"),
        ({"latent": "mu"}, r"carracing\.collect\.latent = 'mu'"),
    ],
)
def test_a_fault_in_collect_is_one_clear_line(workspace, changes, message):
    with pytest.raises(ParameterError, match=message):
        check_collect(workspace, **changes)


def test_stage_stops_before_any_work_for_a_fault_elsewhere(workspace):
    (workspace / "configs/zz.yaml").write_text("takecover: {evolve: {population: 1}}\n")
    command = [sys.executable, "-m", "world_models.stages.rollouts", "--environment", "carracing"]
    outs = ["--out", "out", "--metrics", "metrics.json", "--reports", "reports"]
    done = subprocess.run(
        command + outs, cwd=workspace, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "takecover.evolve.population = 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workspace / "out").exists()
