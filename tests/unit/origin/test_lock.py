"""Lock files are read as DVC writes them."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from world_models.origin import changes
from world_models.origin.lock import Lock, parse_yaml, within

ROOT = Path(__file__).resolve().parents[3]
LOCK = """schema: '2.0'
stages:
  vae@carracing:
    cmd: python
    deps:
    - path: data/rollouts
      hash: md5
      md5: stale.dir
    params:
      params.yaml:
        carracing.vae.rate: 1
    outs:
    - path: models/vae
      hash: md5
      md5: 00000000000000000000000000000002.dir
      size: 3
  rollouts@carracing:
    cmd: python
    outs:
    - path: data/rollouts
      hash: md5
      md5: 00000000000000000000000000000001.dir
"""


def test_digest_is_that_of_the_stage_that_makes_the_output():
    lock = Lock({"dvc.lock": LOCK})
    assert lock.digest("data/rollouts") == "00000000000000000000000000000001.dir"
    assert lock.digest("data/other") is None
    assert Lock({"dvc.lock": "stages: ["}).digest("data/rollouts") is None


def test_a_file_inside_an_output_has_its_maker():
    made = Lock({"experiments/a/dvc.lock": LOCK}).maker("models/vae/card.json")
    assert made is not None
    assert made[0].target == "experiments/a/dvc.yaml:vae@carracing"
    assert made[1] == "models/vae"


def test_upstream_goes_through_all_lock_files_of_the_project():
    names = [
        entry.target for entry in Lock.read(ROOT).upstream(["metrics/takecover/evaluate.json"])
    ]
    assert names[0] == "evaluate@takecover"
    assert {"evolve@takecover", "mdnrnn@takecover", "encode@takecover"} < set(names)
    assert names[-1] == "rollouts@takecover"


def test_numbers_are_read_as_dvc_writes_them():
    text = "[3e-4, 5e-05, 1, 1.5, 1., .5, -2E+3, 'x', true, null, 10, 1e]"
    expected = YAML(typ="safe", pure=True).load(text)
    assert parse_yaml(text) == expected
    assert [type(one) for one in parse_yaml(text)] == [type(one) for one in expected]


def test_the_projects_own_parameters_are_read_as_elsewhere():
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert parse_yaml(text) == YAML(typ="safe", pure=True).load(text)


def test_changed_values_are_named_to_the_leaf():
    entry = Lock({"dvc.lock": LOCK}).entries[0]
    read = {"params.yaml": "carracing: {vae: {rate: 2}}"}
    assert list(changes.of_parameters(entry, read.get)) == [
        "carracing.vae.rate = 1 (2 in params.yaml)"
    ]
    assert list(changes.of_parameters(entry, lambda _: None)) == [
        "carracing.vae.rate = 1 (not there in params.yaml)"
    ]


@pytest.mark.parametrize("inside", [True, False])
def test_paths_are_from_the_root(tmp_path: Path, inside: bool):
    path = (tmp_path if inside else tmp_path.parent) / "a/b"
    assert within(tmp_path, path) == ("a/b" if inside else str(path))
