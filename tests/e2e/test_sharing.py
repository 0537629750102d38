"""Sharing by a remote: a colleague has only the URL of the project and fetches what they need.

That a fresh clone with the remote runs nothing, and a bucket of S3, are steps of the tutorial.
"""

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import dvc.api
import pytest
from clone import Clone

from world_models.schema import read_yaml

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]
ROLLOUTS = "data/carracing/rollouts"
CONTROLLER = "models/carracing/controller"


@dataclass(frozen=True)
class Shared:
    """A project whose owner pushed version 1.

    Attributes:
        owner: the owner's clone, with data and models.
        url: where others clone the project from.
        remote: the folder that the owner pushed to.
        hidden: a folder of its own for DVC's notes and caches of others' projects.
    """

    owner: Clone
    url: str
    remote: Path
    hidden: dict[str, str]

    def clone(self, folder: Path) -> Clone:
        """A colleague's fresh clone."""
        git(folder.parent, "clone", "--quiet", self.url, folder.name)
        return Clone(folder, self.owner.imports, self.hidden)

    def publish(self, *tags: str) -> None:
        """Commit, tag and push to the URL."""
        git(self.owner.folder, "add", "-A")
        git(self.owner.folder, "commit", "--quiet", "-m", tags[0])
        for tag in tags:
            git(self.owner.folder, "tag", "-m", tag, tag)
        git(self.owner.folder, "push", "--quiet", "--tags", self.url, "HEAD:refs/heads/main")


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *who, *words], cwd=folder, check=True)


@pytest.fixture(scope="module")
def shared(pipeline, tmp_path_factory) -> Shared:
    """Version 1, pushed into a folder with the commands of docs/sharing.md."""
    folder = tmp_path_factory.mktemp("sharing")
    hidden = {"DVC_SITE_CACHE_DIR": str(folder / "site")}
    owner = Clone(folder / "owner", pipeline.imports, hidden)
    left_out = shutil.ignore_patterns("mlartifacts", "mlflow.db*", ".scratch", "dvc_plots", "tmp")
    shutil.copytree(pipeline.folder, owner.folder, symlinks=True, ignore=left_out)
    git(folder, "init", "--quiet", "--bare", "-b", "main", "project.git")
    owner.dvc(f"remote add --default storage {folder}/storage", "push")
    made = Shared(owner, f"file://{folder}/project.git", folder / "storage", hidden)
    made.publish("v1", "carracing-vae@v1.0.0")
    return made


def test_who_has_only_the_url_gets_one_part(shared, tmp_path):
    other = Clone(tmp_path, shared.owner.imports, shared.hidden)
    url = shared.url
    said = other.dvc(
        f"list {url} models/carracing",
        f"get {url} {CONTROLLER} --rev v1 -o C",
        f"artifacts get {url} carracing-vae --rev v1.0.0 -o V",
    )
    assert {"controller", "mdnrnn", "vae"} <= set(said.split())
    assert same(tmp_path / "C", shared.owner.folder / CONTROLLER)
    assert same(tmp_path / "V", shared.owner.folder / "models/carracing/vae")


def test_another_project_imports_and_python_reads(shared, tmp_path, monkeypatch):
    git(tmp_path, "init", "--quiet")
    other = Clone(tmp_path, shared.owner.imports, shared.hidden)
    other.dvc("init -q", f"import {shared.url} {CONTROLLER} --rev v1 -o C")
    assert same(tmp_path / "C", shared.owner.folder / CONTROLLER)
    assert read_yaml(tmp_path / "C.dvc")["deps"][0]["repo"]["rev"] == "v1"
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", shared.hidden["DVC_SITE_CACHE_DIR"])
    card = json.loads(dvc.api.read(f"{ROLLOUTS}/card.json", repo=shared.url, rev="v1"))
    assert card["kind"] == "rollouts"


def test_a_version_with_more_episodes_uploads_only_new_shards(shared, tmp_path):
    owner = shared.owner
    first, before = contents(owner.folder / ROLLOUTS), contents(shared.remote)
    params = owner.folder / "params.yaml"
    params.write_text(params.read_text().replace("episodes: 8\n", "episodes: 12\n", 1))
    owner.dvc("repro rollouts@carracing", f"push {ROLLOUTS}", WORLD_MODELS_TRACKING="off")
    shared.publish("v2")
    second, after = contents(owner.folder / ROLLOUTS), contents(shared.remote)
    sent = {name: size for name, size in after.items() if name not in before}
    listing = {name for name in sent if name.endswith(".dir")}
    assert {n: s for n, s in sent.items() if n not in listing} == {
        name: size for name, size in second.items() if name not in first
    }
    kept = sum(size for name, size in first.items() if name in second)
    assert kept > 0.9 * sum(first.values())
    colleague = Clone(tmp_path, owner.imports, shared.hidden)
    colleague.dvc(*(f"get {shared.url} {ROLLOUTS} --rev {tag} -o {tag}" for tag in ("v1", "v2")))
    episodes = [json.loads((tmp_path / tag / "card.json").read_text()) for tag in ("v1", "v2")]
    assert [card["metrics"]["episodes"] for card in episodes] == [8, 12]


def contents(folder: Path) -> dict[str, int]:
    """The size of each file of a folder or of a DVC remote, by its MD5."""
    found = {}
    for path in filter(Path.is_file, folder.rglob("*")):
        name = "".join(path.parts[-2:])  # a remote's own, files/md5/01/2345…
        known = len(name.partition(".")[0]) == 32
        found[name if known else hashlib.md5(path.read_bytes()).hexdigest()] = path.stat().st_size
    return found


def same(folder: Path, other: Path) -> bool:
    """Whether two folders hold files of the same names and bytes."""
    files = [
        {str(p.relative_to(base)): p.read_bytes() for p in base.rglob("*") if p.is_file()}
        for base in (folder, other)
    ]
    return bool(files[0]) and files[0] == files[1]
