"""Files of strangers, whose checksums are right and whose content is wrong: refused, by name.

Each case spoils a copy of a sound artifact, makes its card's checksums match, and reads it. A
person is told which file or folder is wrong, in a line, in seconds.
"""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
import torch
from data_sets import make_episode, write_rollouts
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from refusals import read_or_refused

from world_models import cli, folders, pyfunc
from world_models.agent import Agent
from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec, count
from world_models.envs import catalogue
from world_models.errors import UserError
from world_models.evaluation import published, recordings
from world_models.evolution.cma_es import CMAES
from world_models.evolution.history import History
from world_models.evolution.loop import Evolution
from world_models.exchange import minari_export
from world_models.memory import model as memory_model
from world_models.memory.model import Memory
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.stages.command import Outputs
from world_models.storage import artifact, cards, half, tensors
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import LatentsWriter
from world_models.tracking import fetching
from world_models.vision import model as vision_model
from world_models.vision.encoding import encode_episodes
from world_models.vision.model import Vision
from world_models.vision.network import VAE
from world_models.worlds.dream import Dream
from world_models.worlds.episodes import play
from world_models.worlds.fitness import Scores

NAN, INF, GONE = float("nan"), float("inf"), object()
Z, H, CHANNELS = 4, 8, (4, 4, 4, 8)
SIZES = Sizes(Z, 3, H, 2, restart=False, reward_head=True, end_head=True)
WEIGHTS, THETA, FIRST = "weights.safetensors", "theta.safetensors", memory_model.INITIAL
LATENTS, SHARD, INDEX = "shard-00000.safetensors", "shard-00000.h5", "index.parquet"
MINARI = "strangers/carracing-v0"
REPEATABLE = settings(max_examples=60, deadline=None, database=None, derandomize=True)
Spoil = Callable[[Path], Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One artifact of each kind: ``vae``, ``mdnrnn``, ``controller``, ``rollouts``, ``latents``."""
    root, random = tmp_path_factory.mktemp("sound"), np.random.default_rng(1)
    torch.manual_seed(1)
    with _create(root, "vae", {"z_size": Z, "channels": list(CHANNELS)}) as draft:
        tensors.save(draft / WEIGHTS, vision_model.state_arrays(VAE(Z, CHANNELS)))
    with _create(root, "mdnrnn", SIZES._asdict(), "vae") as draft:
        tensors.save(draft / WEIGHTS, memory_model.state_arrays(MDNRNN(SIZES)))
        first = {name: random.normal(size=(3, Z)).astype(np.float32) for name in ("mu", "logvar")}
        tensors.save(draft / FIRST, first)
    spec = ControllerSpec("zh", Z + H, 0, 3, bias=True)
    controller = Controller(spec, random.normal(size=count(spec)).astype(np.float32))
    with _create(root, "controller", controller.payload()[1], "vae", "mdnrnn") as draft:
        controller.save(draft)
    data = [make_episode(seed, length) for seed, length in ((9, 6), (4, 51), (3, 2), (7, 12))]
    write_rollouts(root / "rollouts", data[:2], data[2:])
    with _create(root, "latents", {}) as draft, LatentsWriter(draft) as writer:
        for number, one in enumerate(data):
            mu, logvar = random.normal(size=(2, len(one), Z)).astype(np.float32)
            steps = {"actions": one.actions, "rewards": one.rewards, "seed": one.seed}
            ends = {"terminated": True, "truncated": False}
            name = f"shard-{number // 2:05}.h5"
            writer.add(name, mu=mu, logvar=logvar, **steps, **ends)
    return root


def _create(root: Path, kind: str, details: dict[str, Any], *upstream: str) -> Any:
    before = [artifact.open_artifact(root / one, one) for one in upstream]
    made = {"environment": "carracing", "stage": artifact.STAGES[kind], "upstream": before}
    parameters = {"latent": "mean"}
    return artifact.create(
        root / kind, kind=kind, parameters=parameters, metrics={}, details=details, **made
    )


# ---------------------------------------------------------------- what spoils them


def edit(where: str, value: Any, folder: Path) -> None:
    """Set ``a.b`` of the card, or remove it."""
    card = json.loads((folder / "card.json").read_text())
    *path, key = where.split(".")
    at = card
    for above in path:
        at = at[above]
    at[key] = None if value is GONE else value
    if value is GONE:
        del at[key]
    (folder / "card.json").write_text(json.dumps(card))


def seal(folder: Path) -> None:
    """Let the card have the checksums of the files."""
    card = json.loads((folder / "card.json").read_text())
    card["files"] = {name: artifact.file_digest(folder / name) for name in card["files"]}
    (folder / "card.json").write_text(json.dumps(card))


def arrays(name: str, change: Callable[[dict[str, Any]], dict[str, Any]], folder: Path) -> None:
    found = tensors.from_bytes((folder / name).read_bytes())
    tensors.save(folder / name, change({key: array.copy() for key, array in found.items()}))
    seal(folder)


def last(key: str, value: float, found: dict[str, Any]) -> dict[str, Any]:
    """Set an array's last number."""
    found[key].reshape(-1)[-1] = value
    return found


def cast(dtype: str, found: dict[str, Any]) -> dict[str, Any]:
    return {name: array.astype(dtype) for name, array in found.items()}


def index(column: str, value: Any, folder: Path) -> None:
    """Set the last value of a column of the index, or remove the column."""
    table = parquet.read_table(folder / INDEX).to_pydict()
    kind = type(value)
    table[column] = [kind(one) if kind in (str, float) else one for one in table[column]]
    table[column][-1] = value
    if value is GONE:
        del table[column]
    parquet.write_table(pa.table(table), folder / INDEX)
    seal(folder)


def rows(number: int, folder: Path) -> None:
    table = parquet.read_table(folder / INDEX).slice(0, 1)
    columns = {name: pa.repeat(table[name][0], number) for name in table.column_names}
    parquet.write_table(pa.table(columns, schema=table.schema), folder / INDEX, compression="zstd")
    seal(folder)


def away(folder: Path) -> None:
    """The index names a shard that lies beside its folder."""
    shutil.copy(folder / "shard-00001.h5", folder.parent / "away.h5")
    table = parquet.read_table(folder / INDEX).to_pydict()
    table["shard"][2:] = ["../away.h5"] * 2
    parquet.write_table(pa.table(table), folder / INDEX)
    seal(folder)


def shard(change: Callable[[h5py.File], Any], folder: Path) -> None:
    with h5py.File(folder / SHARD, "a") as file:
        change(file)
    seal(folder)


def put(name: str, value: Any, file: h5py.Group, **options: Any) -> None:
    del file[name]
    if value is not GONE:
        file.create_dataset(name, data=value, **options)


def link(name: str, target: Any, file: h5py.Group) -> None:
    del file[name]
    file[name] = target


def stored_elsewhere(file: h5py.File) -> None:
    shape = file["frames"].shape
    del file["frames"]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_external(b"/etc/passwd", 0, int(np.prod(shape)))
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, b"frames", h5py.h5t.NATIVE_UINT8, space, plist)


def virtual(file: h5py.File) -> None:
    shape = file["frames"].shape
    layout = h5py.VirtualLayout(shape, "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "frames", shape)
    del file["frames"]
    file.create_virtual_dataset("frames", layout)


def no_zstd(file: h5py.File) -> None:
    file["frames"].id.write_direct_chunk((0, 0, 0, 0), b"no zstd at all" * 9)


def many_frames(file: h5py.File) -> None:
    del file["frames"]
    file.create_dataset("frames", (10**12, 64, 64, 3), "u1", chunks=(50, 64, 64, 3))


def one_chunk(file: h5py.File) -> None:
    frames = file["frames"][:]
    put("frames", frames, file, chunks=frames.shape, compression="gzip")


def extra(name: str, folder: Path) -> None:
    """List a file, with the checksum of an empty one."""
    card = json.loads((folder / "card.json").read_text())
    card["files"][name] = hashlib.sha256(b"").hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def pipe(name: str, folder: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)


def device(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")


def grown(name: str, folder: Path) -> None:
    with (folder / name).open("wb") as file:
        file.truncate(10**11)


# ---------------------------------------------------------------- who reads them


def episodes(folder: Path) -> None:
    with EpisodeReader(folder) as reader:
        assert reader.action_size == 3
        for number in range(len(reader)):
            reader.episode(number)


def streamed(folder: Path) -> None:
    with EpisodeReader(folder) as reader:
        list(reader.stream(reader.chunks()))


def opened(folder: Path) -> None:
    artifact.open_artifact(folder, cards.read(folder).kind)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail where a reader waits for ever."""

    def late(*_: object) -> None:
        pytest.fail(f"it hangs: {seconds} s are over")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(read: Callable[[Path], Any], folder: Path) -> None:
    """``read`` names the folder in a line of a UserError."""
    with within(20), pytest.raises(UserError) as caught:
        read(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


CARD: dict[str, Spoil] = {
    "kind a list": partial(edit, "kind", ["vae"]),
    "format true": partial(edit, "format", True),
    "format -1": partial(edit, "format", -1),
    "environment a path": partial(edit, "environment", "../../etc"),
    "environment with escape codes": partial(edit, "environment", "\x1b[2J"),
    "stage unknown": partial(edit, "stage", "rm -rf ~"),
    "more fields": partial(edit, "more", 5),
    "original a list": partial(edit, "details.original", [1]),
    "metrics NaN": partial(edit, "metrics.loss", NAN),
    "lineage a number": partial(edit, "lineage.vae", 5),
    "lineage without parameters": partial(edit, "lineage.vae", {"digest": "0" * 64, "metrics": {}}),
    "lineage of no stage": partial(edit, "lineage.before", {}),
    "a digest a number": partial(edit, "files", {WEIGHTS: 5}),
    "a file outside": lambda f: ((f.parent / "secret").write_bytes(b""), extra("../secret", f)),
    "a file by its whole path": partial(extra, "/dev/zero"),
    "a file with NUL": partial(extra, "a\0b"),
    "a file without a name": partial(extra, ""),
    "itself": partial(extra, "card.json"),
    "no weights": partial(edit, "files", {}),
    "a pipe": partial(pipe, "card.json"),
    "a device": partial(device, "card.json"),
    "of 100 GB": partial(grown, "card.json"),
}
SIZE = (-1, 0, "4", 4.5, None, True, [4], NAN, 10**6, 10**9, 65536, GONE)
TRUTH = ("yes", 2, None, [])
DETAILS = {
    "vae": {
        "z_size": SIZE,
        "channels": ("abcd", [4], [], ["4"] * 4, [-1] * 4, [10**5] * 4, [4.5] * 4, 5, None),
        "wish": ("textbook",),
    },
    "mdnrnn": {
        "z_size": SIZE,
        "action_size": (-1, "3", 3.5, 10**9),
        "hidden_size": (0, "8", 30_000, 10**6),
        "mixtures": (0, "2", 10**9),
        "restart": (*TRUTH, True),
        "reward_head": TRUTH,
        "end_head": TRUTH,
        "cell": ("rnn", None, ["lstm"]),
        "wish": ("textbook",),
        "end_weight": (2.0,),
    },
    "controller": {
        "spec": (None, [], {}, GONE),
        "spec.features": (5, None, "q", "zhh", ["z", "h"]),
        "spec.inputs": (-1, "12", 12.5, True, 10**12),
        "spec.hidden": (-1, "0", False, 60_000),
        "spec.outputs": (-1, "3", 10**9),
        "spec.bias": (*TRUTH, False),
        "spec.squash": ("tanh",),
    },
}
ARRAYS: dict[str, tuple[str, str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    **{f"V {v}": ("vae", WEIGHTS, partial(last, "heads.mu.bias", v)) for v in (NAN, INF)},
    **{f"M {v}": ("mdnrnn", WEIGHTS, partial(last, "w_h", v)) for v in (NAN, -INF)},
    **{f"C {v}": ("controller", THETA, partial(last, "theta", v)) for v in (NAN, INF)},
    **{f"V {t}": ("vae", WEIGHTS, partial(cast, t)) for t in ("float64", "int64", "bool")},
    **{f"C {t}": ("controller", THETA, partial(cast, t)) for t in ("float64", "int64")},
    "first mu NaN": ("mdnrnn", FIRST, partial(last, "mu", NAN)),
    "first logvar 1e30": ("mdnrnn", FIRST, partial(last, "logvar", 1e30)),
    "no first frames": ("mdnrnn", FIRST, lambda a: {k: v[:0] for k, v in a.items()}),
    "theta of two rows": ("controller", THETA, lambda a: {"theta": np.stack([a["theta"]] * 2)}),
    "theta too short": ("controller", THETA, lambda a: {"theta": a["theta"][:-1]}),
    "more beside theta": ("controller", THETA, lambda a: a | {"more": a["theta"]}),
    "lengths negative": ("latents", LATENTS, lambda a: a | {"lengths": np.array([58, -1])}),
    "length 0": ("latents", LATENTS, lambda a: a | {"lengths": np.array([57, 0])}),
    "lengths that overflow": (
        "latents",
        LATENTS,
        lambda a: a | {"lengths": np.array([2**63 - 1, -(2**63) + 58])},
    ),
    "lengths of two axes": ("latents", LATENTS, lambda a: a | {"lengths": a["lengths"][:, None]}),
    "mu a scalar": ("latents", LATENTS, lambda a: a | {"mu": np.array(1, np.float32)}),
    "mu of width 0": ("latents", LATENTS, lambda a: a | {"mu": a["mu"][:, :0]}),
    "logvar narrower": ("latents", LATENTS, lambda a: a | {"logvar": a["logvar"][:, :2]}),
    "z of another shard's size": (
        "latents",
        LATENTS,
        lambda a: a | {k: a[k][:, :2] for k in ("mu", "logvar")},
    ),
    "no episode": ("latents", LATENTS, lambda a: {k: v[:0] for k, v in a.items()}),
    "mu NaN": ("latents", LATENTS, partial(last, "mu", NAN)),
    "logvar 1000": ("latents", LATENTS, partial(last, "logvar", 1000.0)),
    "actions NaN": ("latents", LATENTS, partial(last, "actions", NAN)),
    "rewards infinite": ("latents", LATENTS, partial(last, "rewards", INF)),
}
COLUMNS = {
    "length": (0, -5, "text", None, 10**12, 12.5, GONE),
    "offset": (-1, 10**12, None, GONE),
    "shard": (None, "/dev/zero", "../shard-00001.h5", "", "card.json", GONE),
    "seed": (None, "text", 2.5, 8, GONE),
    "return": (NAN, None, "text", GONE),
    "ended": (None, "banana", GONE),
    "episode": (99, GONE),
}
STEPS = 57
SHARDS: dict[str, Callable[[h5py.File], Any]] = {
    "frames float": partial(put, "frames", np.zeros((STEPS, 64, 64, 3), np.float32)),
    "frames of 32 pixels": partial(put, "frames", np.zeros((STEPS, 32, 32, 3), np.uint8)),
    "frames a scalar": partial(put, "frames", np.uint8(1)),
    "frames gone": partial(put, "frames", GONE),
    "frames a link to themselves": partial(link, "frames", h5py.SoftLink("/frames")),
    "frames in another file": lambda file: elsewhere("frames", file),
    "frames in /etc/passwd": stored_elsewhere,
    "frames virtual": virtual,
    "frames fewer": partial(put, "frames", np.zeros((20, 64, 64, 3), np.uint8)),
    "frames of 12 PB": many_frames,
    "frames in one chunk": one_chunk,
    "a chunk that is no zstd": no_zstd,
    "actions of one axis": partial(put, "actions", np.zeros(STEPS, np.float32)),
    "actions float64": partial(put, "actions", np.zeros((STEPS, 3))),
    "actions NaN": lambda file: file["actions"].__setitem__(-1, NAN),
    "rewards infinite": lambda file: file["rewards"].__setitem__(-1, INF),
    "rewards of two axes": partial(put, "rewards", np.zeros((STEPS, 1), np.float32)),
    "seeds fewer": partial(put, "seeds", np.zeros(1, np.int64)),
    "other lengths": partial(put, "lengths", np.array([1, 56])),
    "terminated numbers": partial(put, "terminated", np.array([7, 9])),
}


def pairs(values: dict[str, tuple[Any, ...]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, several in values.items() for value in several]


def of_cards() -> Iterator[Any]:
    """(kind, what spoils it, who reads it), with a name."""
    for name, spoil in CARD.items():
        yield pytest.param("mdnrnn", spoil, folders.read, id=f"card: {name}")
    for kind, fields in DETAILS.items():
        for field, value in pairs(fields):
            said = "gone" if value is GONE else repr(value)[:20]
            spoil = partial(edit, f"details.{field}", value)
            yield pytest.param(kind, spoil, folders.read, id=f"{kind}: {field} {said}")
    for field, more in (("restart_weight", None), ("patience", 1.5)):
        for value in ("x", 0, -1, more, NAN, [1]):
            spoil = partial(edit, f"parameters.{field}", value)
            yield pytest.param("mdnrnn", spoil, folders.read, id=f"mdnrnn: {field} {value}")


def of_data() -> Iterator[Any]:
    for name, (kind, file, change) in ARRAYS.items():
        yield pytest.param(kind, partial(arrays, file, change), folders.read, id=f"arrays: {name}")
    for column, value in pairs(COLUMNS):
        said = "gone" if value is GONE else repr(value)
        spoil = partial(index, column, value)
        yield pytest.param("rollouts", spoil, episodes, id=f"index: {column} {said}")
    yield pytest.param("rollouts", away, episodes, id="index: a shard elsewhere")
    for number in (0, 2_000_000):
        yield pytest.param("rollouts", partial(rows, number), episodes, id=f"index: {number} rows")
    for name, change in SHARDS.items():
        yield pytest.param("rollouts", partial(shard, change), episodes, id=f"shard: {name}")
    for name in ("frames of 32 pixels", "frames fewer", "frames in one chunk"):
        spoil = partial(shard, SHARDS[name])
        yield pytest.param("rollouts", spoil, streamed, id=f"stream: {name}")


def of_files() -> Iterator[Any]:
    readers = (
        ("vae", WEIGHTS, folders.read),
        ("vae", WEIGHTS, opened),
        ("vae", "card.json", pyfunc._load_pyfunc),
        ("latents", LATENTS, folders.read),
        ("rollouts", INDEX, episodes),
        ("rollouts", SHARD, episodes),
    )
    for kind, file, read in readers:
        for spoil in (pipe, device, grown):
            name = f"{spoil.__name__}: {kind} {file} {read.__name__}"
            yield pytest.param(kind, partial(spoil, file), read, id=name)


@pytest.mark.parametrize(("kind", "spoil", "read"), [*of_cards(), *of_data(), *of_files()])
def test_what_a_stranger_spoiled_is_refused_by_name(sound, tmp_path, kind, spoil, read):
    folder = tmp_path / kind
    shutil.copytree(sound / kind, folder)
    spoil(folder)
    refused(read, folder)


def test_what_is_sound_is_read(sound):
    for kind in artifact.STAGES:
        (episodes if kind == "rollouts" else folders.read)(sound / kind)
        opened(sound / kind)
    Agent.load(sound)


def test_what_a_card_does_not_list_is_not_loaded(sound, tmp_path):
    shutil.copytree(sound / "latents", tmp_path / "latents")
    shutil.copy(tmp_path / "latents" / LATENTS, tmp_path / "latents/shard-00009.safetensors")
    assert folders.read(tmp_path / "latents").episodes == folders.read(sound / "latents").episodes


def test_a_release_writes_nothing_outside_of_its_folder(sound, tmp_path):
    """A card that was made in memory has not been read, and so not been checked."""
    victim = tmp_path / "victim.safetensors"
    tensors.save(victim, {"x": np.full(2, 1.2345678, np.float32)})
    before = victim.read_bytes()
    shutil.copytree(sound / "vae", tmp_path / "vae")
    card = artifact.open_artifact(tmp_path / "vae", "vae")
    card.files["../victim.safetensors"] = "0" * 64
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="names the file"):
        half.write(tmp_path / "vae", card, tmp_path / "out/vae")
    assert victim.read_bytes() == before
    assert not (tmp_path / "out" / victim.name).exists()


def test_an_agent_whose_c_saw_something_unknown_is_refused(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "agent")
    edit("parameters.latent", "banana", tmp_path / "agent/controller")
    refused(Agent.load, tmp_path / "agent")


@pytest.mark.parametrize("content", ["[" * 100_000 + "]" * 100_000, '{"a": NaN}', "[]", None])
def test_small_files_beside_models_are_refused(tmp_path, content):
    for name, read in (
        (published.FILE, lambda folder: published.read(folder, "carracing")),
        (fetching.AGENT, lambda folder: fetching._named(folder / fetching.AGENT)),
    ):
        os.mkfifo(tmp_path / name) if content is None else (tmp_path / name).write_text(content)
        refused(read, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"lengths": None},
        {"lengths": np.array([-3, 9])},
        {"actions": np.zeros((2, 3), np.float32)},
        {"disturbance.banana": np.array([1.0])},
        {"actions": np.full((6, 3), NAN, np.float32)},
    ],
    ids=str,
)
def test_recordings_that_do_not_fit_are_refused(tmp_path, change):
    whole = {
        "seeds": np.arange(2),
        "lengths": np.array([3, 3]),
        "actions": np.zeros((6, 3), np.float32),
        "z": np.zeros((6, Z), np.float32),
    }
    path = tmp_path / "agent.safetensors"
    tensors.save(path, whole)
    assert len(recordings.load(path)) == 2
    tensors.save(path, {k: v for k, v in (whole | change).items() if v is not None})
    refused(lambda _: recordings.load(path), tmp_path)


# ---------------------------------------------------------------- anything at all

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


FIELDS = (*artifact.Card.__dataclass_fields__, "more")


@REPEATABLE
@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, min_size=1, max_size=3))
def test_a_card_of_anything_is_read_or_refused(sound, tmp_path_factory, change):
    folder = tmp_path_factory.getbasetemp() / "any card"
    folder.mkdir(exist_ok=True)
    card = json.loads((sound / "vae/card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | change))
    found = read_or_refused(cards.read, folder)
    if found is not None:
        found.digest()
        cards.size(folder, found)
        list(cards.faults(folder, found))


COLUMN = st.sampled_from(list(COLUMNS))
VALUE = st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8) | st.none()


@REPEATABLE
@given(st.lists(st.tuples(COLUMN, st.integers(0, 3), VALUE), min_size=1, max_size=3))
def test_an_index_of_anything_is_read_or_refused(sound, tmp_path_factory, changes):
    folder = tmp_path_factory.getbasetemp() / "any index"
    folder.mkdir(exist_ok=True)
    for path in (sound / "rollouts").glob("*.h5"):
        shutil.copy(path, folder)
    table = parquet.read_table(sound / "rollouts" / INDEX).to_pydict()
    for column, row, value in changes:
        table[column] = [value if n == row else one for n, one in enumerate(table[column])]
        if len({type(one) for one in table[column]} - {type(None)}) > 1:
            table[column] = [str(one) for one in table[column]]
    parquet.write_table(pa.table(table), folder / INDEX)
    read_or_refused(episodes, folder)


# ---------------------------------------------------------------- data sets of Minari


def number_actions(folder: Path, actions: Any) -> None:
    meta({"action_space": json.dumps({"type": "Discrete", "dtype": "int64", "start": 0, "n": 3})})(
        folder
    )
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        for name in file:
            put("actions", np.full(len(file[name]["rewards"]), actions), file[name])


def meta(change: dict[str, Any]) -> Spoil:
    def spoil(folder: Path) -> None:
        said = json.loads((folder / "metadata.json").read_text())
        said = {key: value for key, value in (said | change).items() if value is not GONE}
        (folder / "metadata.json").write_text(json.dumps(said))

    return spoil


def recorded(change: Callable[[h5py.Group], Any]) -> Spoil:
    def spoil(folder: Path) -> None:
        with h5py.File(folder / "main_data.hdf5", "a") as file:
            change(file["episode_1"])

    return spoil


def pictures(value: Any) -> Spoil:
    return recorded(partial(put, "observations", value))


IMPORTS: dict[str, Spoil] = {
    **{
        f"total_episodes {value!r}": meta({"total_episodes": value})
        for value in (0, -1, 3, 9, "4", None, 10**12, NAN)
    },
    "metadata nested": lambda f: (f / "metadata.json").write_text("[" * 10**5 + "]" * 10**5),
    "a space that is no text": meta({"observation_space": 5}),
    "an unknown space": meta({"observation_space": json.dumps({"type": "os.system"})}),
    # Minari would make the environment that the data name, to ask it for its spaces.
    "an environment in place of spaces": meta({"action_space": GONE}),
    "an unknown format": meta({"data_format": "banana"}),
    "numbered vectors": meta(
        {"action_space": json.dumps({"type": "Discrete", "dtype": "int64", "start": 0, "n": 3})}
    ),
    "a number out of range": lambda f: number_actions(f, -1),
    "numbers that are none": lambda f: number_actions(f, 0.5),
    "actions NaN": recorded(lambda g: g["actions"].__setitem__(-1, NAN)),
    "rewards NaN": recorded(lambda g: g["rewards"].__setitem__(-1, NAN)),
    "no rewards": recorded(partial(put, "rewards", np.zeros(0))),
    "more rewards": recorded(partial(put, "rewards", np.zeros(99))),
    "ends that are numbers": recorded(partial(put, "terminations", np.full(51, 7.5))),
    "no ends": recorded(partial(put, "terminations", np.zeros(0, np.bool_))),
    "fewer actions": recorded(partial(put, "actions", np.zeros((9, 3), np.float32))),
    "wider actions": recorded(partial(put, "actions", np.zeros((51, 6), np.float32))),
    "pictures without colours": pictures(np.zeros((52, 8, 8), np.uint8)),
    "pictures of other sizes": pictures(np.zeros((52, 8, 8, 3), np.uint8)),
    "pictures without height": pictures(np.zeros((52, 0, 8, 3), np.uint8)),
    "pictures of floats": pictures(np.full((52, 64, 64, 3), 0.5)),
    "pictures in another file": recorded(lambda g: elsewhere("observations", g)),
    "pictures in /etc/passwd": recorded(lambda g: stored_pictures(g)),
    "a seed that is none": recorded(lambda g: g.attrs.__setitem__("seed", "text")),
    "a seed of 100 bits": recorded(lambda g: g.attrs.__setitem__("seed", 1e30)),
    "an episode gone": recorded(lambda g: g.file.__delitem__("episode_1")),
    "an episode within itself": recorded(
        lambda g: [g.__setitem__(f"infos/{n}", g) for n in range(50)]
    ),
    "an episode in another file": recorded(lambda g: elsewhere("episode_1", g.file)),
    "a pipe": partial(pipe, "main_data.hdf5"),
    "metadata a pipe": partial(pipe, "metadata.json"),
}


def elsewhere(name: str, group: h5py.Group) -> None:
    """Move a member into a file beside, and link it."""
    with h5py.File(Path(group.file.filename).with_name("other.h5"), "w") as other:
        group.copy(name, other)
    link(name, h5py.ExternalLink("other.h5", f"/{name}"), group)


def stored_pictures(group: h5py.Group) -> None:
    del group["observations"]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    shape = (52, 64, 64, 3)
    plist.set_external(b"/etc/passwd", 0, int(np.prod(shape)))
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(group.id, b"observations", h5py.h5t.NATIVE_UINT8, space, plist)


@pytest.fixture(scope="module")
def minari(sound, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("minari")
    minari_export.export(sound / "rollouts", MINARI, root)
    return root


@pytest.mark.parametrize("spoil", IMPORTS.values(), ids=IMPORTS.keys())
def test_a_data_set_of_minari_that_was_spoiled_is_refused(minari, tmp_path, capsys, spoil):
    shutil.copytree(minari, tmp_path / "minari")
    spoil(tmp_path / "minari" / MINARI / "data")
    words = ["--environment", "carracing", "--root", str(tmp_path / "minari")]
    with within(20), pytest.raises(SystemExit) as ended:
        cli.main(["data", "import", MINARI, str(tmp_path / "out"), *words])
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert (ended.value.code, MINARI in said) == (2, True), said
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- numbers that are none


def dreaming(sound: Path, key: str, value: float) -> Dream:
    """A dream of an M whose bias ``key`` ends in ``value``, which no file could bring."""
    given, details = Memory.load(sound / "mdnrnn").payload()
    memory = Memory.from_arrays(last(key, value, {k: v.copy() for k, v in given.items()}), details)
    return Dream(memory, tau=1.0, cap=50, num_envs=2, features="zh")


REWARD, END = "M's reward is not finite at step 0", "M's logit of the end is not finite at step 0"
FEATURES = r"Features of the episode with seed [57] are not finite at step \d+"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("reward.bias", NAN, REWARD),
        ("reward.bias", INF, REWARD),
        ("end.bias", NAN, END),
        ("end.bias", INF, END),
        ("mixture.bias", NAN, FEATURES),
        ("bias", NAN, "not finite at step 0"),
        ("initial.mu", NAN, FEATURES),
        ("initial.mu", INF, FEATURES),
    ],
)
def test_a_dream_with_numbers_that_are_none_has_no_score(sound, key, value, words):
    world = dreaming(sound, key, value)
    world._memory.initial.mu[:] *= value if key == "initial.mu" else 1
    with np.errstate(all="ignore"), pytest.raises(UserError, match=words):
        play(world, lambda features: np.zeros((len(features), 3), np.float32), [5, 7])


def test_actions_that_are_none_never_reach_a_world(sound):
    world = dreaming(sound, "bias", 0.0)

    def act(features):
        return np.array([[0, 0, 0], [0, np.nan, 0]], np.float32)

    with pytest.raises(UserError, match=r"Actions of the episode with seed 7 .* at step 0"):
        play(world, act, [5, 7])


def test_no_number_is_no_choice():
    actions = catalogue.specification("healthgathering").actions
    raw = np.array([[0, 2, 1], [0, np.nan, 1]], np.float32)
    assert np.isfinite(actions.squash(raw)).all(axis=1).tolist() == [True, False]
    assert actions.squash(raw[0]).tolist() == [0, 1, 0]


@pytest.mark.parametrize("worth", [(NAN, 1.0), (-INF, 1.0), (1.0, NAN), (1.0, INF)], ids=str)
def test_returns_that_are_none_never_enter_the_history(worth):
    def evaluate(_number: int, candidates: Any, mean: Any) -> Scores:
        fitness, validation = np.arange(len(candidates)) * 1.0, np.ones(0 if mean is None else 3)
        fitness[:1], validation[:1] = worth
        return Scores(fitness, fitness, 1, validation, 1)

    history = History()

    def make(_restart: int) -> CMAES:
        random = np.random.default_rng(1)
        return CMAES(np.zeros(5), sigma=0.1, population=4, random=random, variant="full")

    rules = {"generations": 3, "validate_every": 1, "validation_episodes": 3}
    evolution = Evolution(make, history, **rules)
    with pytest.raises(UserError, match=r"of generation \d is not finite"):
        list(evolution.generations(evaluate))
    assert np.isfinite(np.concatenate([*history.fitness, *history.returns, np.zeros(1)])).all()
    assert not history.validations


def test_metrics_that_are_none_are_not_written(tmp_path):
    outputs = Outputs(tmp_path, tmp_path / "metrics.json", tmp_path)
    with pytest.raises(UserError, match=rf"{tmp_path / 'metrics.json'} would hold"):
        outputs.write_metrics({"loss": NAN})
    assert not (tmp_path / "metrics.json").exists()


def test_a_v_that_has_diverged_encodes_nothing(sound):
    given, details = Vision.load(sound / "vae", "carracing").payload()
    given["heads.mu.bias"][:] = np.nan
    vision = Vision.from_arrays(given, details)
    with (
        EpisodeReader(sound / "rollouts") as reader,
        pytest.raises(UserError, match="no finite z for episode 0"),
    ):
        list(encode_episodes(vision, reader, 16, 1))
