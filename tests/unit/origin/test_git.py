"""Digests of a commit's files are those that DVC computes of the same files on disk."""

import subprocess
from pathlib import Path

from world_models.origin import git
from world_models.origin.lock import parse_yaml

FILES = {"code/b/x.py": "x\n", "code/a.py": "a = 1\n", "code/a/z.py": "", "one.py": "1\n"}
STAGE = "stages:\n  s:\n    cmd: 'true'\n    deps: [code, one.py]\n"


def test_md5_is_dvcs(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for name, text in FILES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    Path("dvc.yaml").write_text(STAGE)
    commit = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"]
    for command in (["git", "init", "-q"], ["git", "add", "-A"], commit):
        subprocess.run(command, check=True)
    for command in (["dvc", "init", "-q"], ["dvc", "repro", "-q"]):
        subprocess.run(command, check=True)
    deps = parse_yaml(Path("dvc.lock").read_text())["stages"]["s"]["deps"]
    revision = git.ask("rev-parse", "HEAD") or ""
    assert {dep["path"]: git.md5(revision, dep["path"]) for dep in deps} == {
        dep["path"]: dep["md5"] for dep in deps
    }
    assert git.md5(revision, "absent.py") is None
