"""From a score back to the first episode, by DVC's lock files and MLflow's runs."""

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]
SCORE = "metrics/takecover/evaluate.json"
CHAIN = ["evaluate", "evolve", "mdnrnn", "encode", "vae", "rollouts"]


def trace(pipeline, what):
    return json.loads(pipeline.run("world_models.cli", "trace", what, "--json", check=False))


def nodes(item):
    yield item
    for above in item["inputs"]:
        yield from nodes(above)


def test_a_score_leads_back_to_the_first_episode(pipeline):
    found = {node["stage"]: node for node in nodes(trace(pipeline, SCORE))}
    assert sorted(found) == sorted(f"{stage}@takecover" for stage in CHAIN)
    assert [node["problems"] for node in found.values()] == [[]] * 6
    for stage, node in found.items():
        assert node["run"]["name"].startswith(stage.removesuffix("@takecover"))
    run = found["evaluate@takecover"]["run"]["run"]
    assert trace(pipeline, run)["path"] == SCORE  # the same from MLflow's side


def test_a_folder_that_is_not_whole_is_named(pipeline):
    theta = pipeline.folder / "models/takecover/controller/theta.safetensors"
    kept = theta.rename(pipeline.folder / "models/theta")  # DVC may have linked it: never write
    try:
        found = {node["stage"]: node["problems"] for node in nodes(trace(pipeline, SCORE))}
    finally:
        kept.rename(theta)
    (problem,) = found.pop("evolve@takecover")
    assert "is not whole" in problem
    assert not any(found.values())


def test_what_no_longer_matches_is_named(pipeline):
    params = pipeline.folder / "params.yaml"
    before = params.read_text()
    changed = before.replace("\ntakecover:", "\nother:").replace("\ncarracing:", "\ntakecover:")
    params.write_text(changed)
    try:
        found = {node["stage"]: node["problems"] for node in nodes(trace(pipeline, SCORE))}
    finally:
        params.write_text(before)
    assert any("takecover.vae.z_size = 64 (32 in params.yaml)" in p for p in found["vae@takecover"])
