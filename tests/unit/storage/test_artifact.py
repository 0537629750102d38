"""An artifact is what its card says, or a clear message says what is wrong and what to do."""

import json
import subprocess
import sys
import textwrap

import pytest

from world_models.errors import InputError
from world_models.storage import artifact

CARRACING = {"kind": "vae", "environment": "carracing", "stage": "vae"}


def make(out, **changes):
    arguments = {
        **CARRACING,
        "parameters": {"learning_rate": 1e-4, "z_size": 32},
        "metrics": {"loss": 12.25},
        "details": {"z_size": 32},
        "upstream": (),
    }
    with artifact.create(out, **(arguments | changes)) as folder:
        (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 40)
        (folder / "more").mkdir()
        (folder / "more" / "notes.txt").write_text("τ")


def test_what_is_opened_is_what_was_created(tmp_path):
    make(tmp_path / "carracing" / "vae")
    card = artifact.open_artifact(tmp_path / "carracing" / "vae", "vae", "carracing")
    assert (card.format, card.kind, card.environment, card.stage) == (1, "vae", "carracing", "vae")
    assert card.parameters == {"learning_rate": 1e-4, "z_size": 32}
    assert card.metrics == {"loss": 12.25}
    assert card.details == {"z_size": 32}
    assert sorted(card.files) == ["more/notes.txt", "weights.safetensors"]
    digest = subprocess.run(
        ["sha256sum", tmp_path / "carracing/vae/weights.safetensors"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[0]
    assert card.files["weights.safetensors"] == digest


def test_equal_content_gives_equal_bytes(tmp_path):
    make(tmp_path / "a", parameters={"x": 0.1, "y": 1}, details={})
    make(tmp_path / "b", parameters={"y": 1, "x": 0.1}, details={})
    assert (tmp_path / "a/card.json").read_bytes() == (tmp_path / "b/card.json").read_bytes()


def test_lineage_gathers_all_stages_upstream(tmp_path):
    make(tmp_path / "rollouts", kind="rollouts", stage="rollouts", metrics={"episodes": 3})
    rollouts = artifact.open_artifact(tmp_path / "rollouts", "rollouts")
    make(tmp_path / "vae", upstream=[rollouts])
    vae = artifact.open_artifact(tmp_path / "vae", "vae")
    make(tmp_path / "latents", kind="latents", stage="encode", upstream=[rollouts, vae])
    latents = artifact.open_artifact(tmp_path / "latents", "latents")
    assert sorted(latents.lineage) == ["rollouts", "vae"]
    assert latents.lineage["rollouts"]["metrics"] == {"episodes": 3}
    assert latents.lineage["vae"]["parameters"] == {"learning_rate": 1e-4, "z_size": 32}


def test_lineage_tells_the_rounds_apart(tmp_path):
    def card(name, stage, kind, upstream):
        make(tmp_path / name, kind=kind, stage=stage, upstream=upstream)
        return artifact.open_artifact(tmp_path / name, kind)

    rollouts = card("rollouts", "rollouts", "rollouts", [])
    vae = card("vae", "vae", "vae", [rollouts])
    collect = card("collect", "collect", "rollouts", [vae, rollouts])
    assert collect.lineage.keys() == {"rollouts", "before.rollouts", "before.vae"}
    second = card("vae-2", "vae", "vae", [collect, vae])
    own = {"rollouts", "collect", "before.rollouts", "before.vae"}
    assert second.lineage.keys() == own
    third = card("collect-3", "collect", "rollouts", [second, collect])
    assert "before.before.vae" in third.lineage
    assert {"before.collect", "before.vae", "before.rollouts"} < third.lineage.keys()


def test_models_that_were_not_made_together_are_refused(tmp_path):
    def card(name, stage, kind, upstream, **parameters):
        made = {"kind": kind, "stage": stage, "upstream": upstream, "parameters": parameters}
        make(tmp_path / name, **made)
        return artifact.open_artifact(tmp_path / name, kind)

    one, other = (card(f"vae-{seed}", "vae", "vae", [], seed=seed) for seed in (1, 2))
    latents = card("latents", "encode", "latents", [one])
    memory = card("mdnrnn", "mdnrnn", "mdnrnn", [latents])
    paths = {"one": tmp_path / "vae-1", "other": tmp_path / "vae-2", "memory": tmp_path / "mdnrnn"}
    artifact.check_made_together({paths["one"]: one, paths["memory"]: memory})
    with pytest.raises(InputError, match=r"mdnrnn was not made from .*vae-2.*dvc repro mdnrnn@"):
        artifact.check_made_together({paths["other"]: other, paths["memory"]: memory})


def test_metrics_may_be_filled_inside_the_block(tmp_path):
    metrics: dict[str, float] = {}
    with artifact.create(
        tmp_path / "vae", **CARRACING, parameters={}, metrics=metrics, details={}
    ) as folder:
        (folder / "a").write_text("1")
        metrics["loss"] = 0.5
    assert artifact.open_artifact(tmp_path / "vae", "vae").metrics == {"loss": 0.5}


def truncate(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)


def edit_card(folder, **changes):
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


FAULTS = {
    "file truncated": (truncate, r"weights.safetensors is damaged: its SHA-256"),
    "bit flipped": (flip, r"weights.safetensors is damaged: its SHA-256"),
    "file missing": (lambda f: (f / "weights.safetensors").unlink(), r"weights.*is missing"),
    "card missing": (lambda f: (f / "card.json").unlink(), r"card.json is missing"),
    "card empty": (lambda f: (f / "card.json").write_text(""), r"card.json cannot be read"),
    "card binary": (lambda f: (f / "card.json").write_bytes(b"\xff\xfe"), r"card.json cannot be"),
    "card a list": (lambda f: (f / "card.json").write_text("[1]"), r"card.json cannot be read"),
    "card of wrong type": (
        lambda f: edit_card(f, metrics=7),
        r"card.json .*metrics = 7: input should be a valid dict",
    ),
    "card a folder": (
        lambda f: ((f / "card.json").unlink(), (f / "card.json").mkdir()),
        r"card.json cannot be read",
    ),
}


@pytest.mark.parametrize(("damage", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_damage_is_told_with_the_cure(tmp_path, damage, message):
    folder = tmp_path / "carracing" / "vae"
    make(folder)
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        artifact.open_artifact(folder, "vae", "carracing")
    assert f"`dvc checkout {folder}`" in str(caught.value)
    assert "`dvc repro vae@carracing`" in str(caught.value)


def test_the_cure_of_damage_names_the_stage_that_made_it(tmp_path):
    folder = tmp_path / "rollouts"
    make(folder, kind="rollouts", stage="collect")
    truncate(folder)
    with pytest.raises(InputError, match=r"is damaged.*`dvc repro collect@carracing`"):
        artifact.open_artifact(folder, "rollouts", "carracing")


def test_a_missing_folder_is_told_even_without_an_environment(tmp_path):
    folder = tmp_path / "takecover" / "latents"
    with pytest.raises(InputError, match=r"latents is missing.*`dvc repro encode@takecover`"):
        artifact.open_artifact(folder, "latents")


def test_a_foreign_kind_or_environment_is_told(tmp_path):
    make(tmp_path / "vae")
    with pytest.raises(InputError, match=r"holds 'vae', where 'mdnrnn' was .*mdnrnn@carracing"):
        artifact.open_artifact(tmp_path / "vae", "mdnrnn", "carracing")
    with pytest.raises(InputError, match=r"made for carracing, not for takecover.*vae@takecover"):
        artifact.open_artifact(tmp_path / "vae", "vae", "takecover")


def test_a_newer_format_is_told_whatever_else_it_holds(tmp_path):
    make(tmp_path / "vae")
    (tmp_path / "vae" / "card.json").write_text('{"format": 2, "novelty": []}')
    with pytest.raises(InputError, match=r"has format 2; this release reads up to 1. Update"):
        artifact.open_artifact(tmp_path / "vae", "vae")


def test_no_space_leaves_the_artifact_from_before(tmp_path):
    """A genuine limit on the size of files, met in the midst of a shard."""
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        import numpy as np
        from world_models.errors import UserError
        from world_models.storage import artifact, atomic
        from world_models.storage.episodes import Episode, encode_shard
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 256, size=(50, 64, 64, 3), dtype=np.uint8)
        actions, rewards = np.zeros((50, 3), np.float32), np.zeros(50, np.float32)
        episode = Episode(1, frames, actions, rewards, True, False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        try:
            with artifact.create(Path(sys.argv[1]), kind="rollouts", environment="carracing",
                                 stage="rollouts", parameters={}, metrics={}, details={}) as folder:
                atomic.write(folder / "shard-00000.h5", encode_shard([episode]))
        except UserError as error:
            sys.exit(str(error))
    """)
    out = tmp_path / "rollouts"
    make(out, kind="rollouts", stage="rollouts")
    before = artifact.open_artifact(out, "rollouts")
    done = subprocess.run(
        [sys.executable, "-c", script, str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "No space to write" in done.stderr
    assert "Traceback" not in done.stderr
    assert artifact.open_artifact(out, "rollouts") == before
    assert [path.name for path in tmp_path.iterdir()] == ["rollouts"]
