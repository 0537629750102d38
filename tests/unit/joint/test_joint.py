"""V and M together: what a batch holds, and what reaches V."""

import numpy as np
import pytest
import torch
from data_sets import make_episode, write_rollouts
from stopping import StopError, stopping_at

from world_models.devices import DeviceSettings
from world_models.formulations import Choice, choose
from world_models.joint.data import Sequences
from world_models.joint.parameters import JointParameters
from world_models.joint.training import JointTraining, Pair
from world_models.memory.loss import losses as memory_losses
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import Latents
from world_models.training.fit import fit
from world_models.vision.loss import vae_loss
from world_models.vision.network import PAPER_CHANNELS, VAE, as_images

LENGTHS = [30, 12, 70, 25]
SIZES = Sizes(4, 3, 8, 2, restart=False, reward_head=True, end_head=True)
TEXTBOOK = Choice("cpu", "textbook", "float32")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    episodes = [make_episode(seed, length) for seed, length in enumerate(LENGTHS)]
    folder = tmp_path_factory.mktemp("joint") / "rollouts"
    write_rollouts(folder, episodes[:2], episodes[2:])
    return EpisodeReader(folder)


def latents(reader, lengths=LENGTHS):
    """As stage encode stores them, but for z; an episode's first steps if ``lengths`` says so."""
    found = [reader.episode(e) for e in range(len(lengths))]
    return Latents(
        mu=np.zeros((sum(lengths), 4), np.float32),
        logvar=np.zeros((sum(lengths), 4), np.float32),
        actions=np.concatenate([e.actions[:n] for e, n in zip(found, lengths, strict=True)]),
        rewards=np.concatenate([e.rewards[:n] for e, n in zip(found, lengths, strict=True)]),
        offsets=np.cumsum([0, *lengths]),
        terminated=np.array([e.terminated for e in found]),
        truncated=np.array([e.truncated for e in found]),
        seeds=np.array([e.seed for e in found]),
    )


def sequences(reader, kept, episodes=(0, 1, 2, 3), length=9, batch_size=6):
    shape = {"length": length, "batch_size": batch_size, "seed": 5}
    return Sequences(reader, kept, np.array(episodes), **shape)


def parameters(**changes):
    values = {
        "seed": 5,
        "memory_weight": 1.0,
        "kl_tolerance": 0.5,
        "sharpness": 0.0,
        "restart_weight": 10.0,
        "steps": 4,
        "batch_size": 6,
        "sequence_length": 9,
        "learning_rate": 0.001,
        "schedule": "cosine",
        "warmup_steps": 2,
        "gradient_clip": None,
        "validation_fraction": 0.25,
        "validate_every": 2,
    }
    return JointParameters(**values | changes)


def pair():
    torch.manual_seed(3)
    return Pair(VAE(4, (8, 8, 8), 3).channels_last(), MDNRNN(SIZES))


@pytest.mark.parametrize("lengths", [LENGTHS, [20, 12, 41, 25]])
def test_frames_belong_to_the_actions_beside_them(reader, lengths):
    """Also where a sequence runs on into the next episode, or an episode was cut short."""
    batch = sequences(reader, latents(reader, lengths), episodes=(2, 0, 3)).batch(7)
    stored = {e: reader.episode(e) for e in (0, 2, 3)}
    known = {  # actions are random numbers: each stands once
        stored[e].actions[at].tobytes(): stored[e].frames[at]
        for e in stored
        for at in range(lengths[e])
    }
    assert batch.frames.shape == (10, 6, 64, 64, 3)
    for at, member in np.ndindex(9, 6):
        action = batch.steps.actions[at, member].numpy().tobytes()
        assert np.array_equal(batch.frames[at, member], known[action])
    assert batch.steps.starts.sum() > 0


def test_a_batch_follows_from_its_number_and_devices_share_it(reader):
    whole = sequences(reader, latents(reader)).batch(3)
    shares = [sequences(reader, latents(reader)).batch(3, rank, 2) for rank in (0, 1)]
    for name in ("frames", "noise"):
        parts = [getattr(share, name) for share in shares]
        assert torch.equal(torch.stack(parts, dim=2).flatten(1, 2), getattr(whole, name))
    assert torch.equal(shares[1].steps.actions, whole.steps.actions[:, 1::2])


def test_behind_the_data_a_frame_is_repeated_and_asked_nothing(reader):
    batch = sequences(reader, latents(reader), episodes=(1,), length=20, batch_size=1).batch(0)
    last = reader.episode(1).frames[-1]
    assert all(np.array_equal(frame, last) for frame in batch.frames[11:, 0])
    assert batch.steps.targets.z_mask[11:].sum() == 0


def gradients(training, batch):
    training.network.zero_grad()
    with training.open_losses() as losses:
        found = losses(batch)
        found.total.backward()
    return found, [weight.grad for weight in training.network.vae.parameters()]


def training(reader, choice=TEXTBOOK, **changes):
    found = sequences(reader, latents(reader))
    return JointTraining(pair(), parameters(**changes), choice, found, found)


def by_hand(network, batch, weight):
    """The loss of a batch, sequence by sequence and frame by frame."""
    total, noise = 0.0, batch.noise
    mu, logvar = network.vae.encode(as_images(batch.frames.flatten(0, 1)))
    z = (mu + logvar.mul(0.5).exp() * noise.flatten(0, 1)).view(noise.shape)
    for at, member in np.ndindex(10, 6):
        k = at * 6 + member
        image = as_images(batch.frames[at, member][None])
        drawn = network.vae.decode(z[at, member][None])
        seen = vae_loss(image, drawn, mu[k][None], logvar[k][None], 0.5)
        total = total + seen.total / 60
    state = network.mdnrnn.initial_state(6)
    said, _ = network.mdnrnn.sequence(z[:9], batch.steps.actions, batch.steps.starts, state)
    targets = batch.steps.targets._replace(z=z[1:])
    m = memory_losses(said, targets, batch.steps.counts, 10.0)
    return total + weight * (4 * m.nll + m.restart + m.reward)


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_gradients_of_v_are_those_of_the_sum(reader, weight):
    module = training(reader, memory_weight=weight)
    batch = sequences(reader, latents(reader)).batch(1)
    found, got = gradients(module, batch)
    module.network.zero_grad()
    expected = by_hand(module.network, batch, weight)
    expected.backward()
    torch.testing.assert_close(found.total, expected, rtol=1e-4, atol=1e-4)
    wanted = [weight.grad for weight in module.network.vae.parameters()]
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-4)


def test_ms_losses_reach_the_encoder_by_input_and_target(reader):
    """Without its own loss V's encoder still gets a gradient, and its decoder none."""
    batch = sequences(reader, latents(reader)).batch(1)
    _, alone = gradients(training(reader, memory_weight=0.0), batch)
    _, both = gradients(training(reader, memory_weight=1.0), batch)
    names = [name for name, _ in pair().vae.named_parameters()]
    moved = {
        name.split(".")[0]: not torch.equal(one, other)
        for name, one, other in zip(names, alone, both, strict=True)
    }
    assert moved == {"encoder": True, "heads": True, "decoder": False}


def test_gradients_of_the_machines_own_formulation_are_those_of_the_textbook(reader):
    batch = sequences(reader, latents(reader)).batch(1)

    def gradient(choice):
        torch.manual_seed(3)
        module, vae = training(reader, choice), VAE(4, PAPER_CHANNELS, 3).channels_last()
        module.network.vae = vae
        return torch.cat([g.flatten() for g in gradients(module, batch)[1]])

    one, other = gradient(choose("V", VAE(4, PAPER_CHANNELS).shapes)), gradient(TEXTBOOK)
    assert torch.cosine_similarity(one, other, dim=0) > 0.999


def run(reader, folder, **changes):
    folder.mkdir(exist_ok=True)
    both, found = pair(), sequences(reader, latents(reader))
    held_out = sequences(reader, latents(reader), episodes=(3,))
    devices = DeviceSettings(accelerator="cpu")
    module = JointTraining(both, parameters(**changes), TEXTBOOK, found, held_out)
    history = fit(module, folder, devices)
    return both.state_dict(), history


def test_it_learns(reader, tmp_path):
    _, history = run(reader, tmp_path / "a", steps=30, validate_every=10)
    assert [row["step"] for row in history] == [10, 20, 30]
    assert history[-1]["training_nll"] < history[0]["training_nll"]
    assert history[-1]["training_reconstruction"] < history[0]["training_reconstruction"]


def test_a_resume_changes_no_bit(reader, tmp_path, monkeypatch):
    whole, history = run(reader, tmp_path / "a")
    with pytest.raises(StopError), stopping_at(3, monkeypatch):
        run(reader, tmp_path / "b")
    again, found = run(reader, tmp_path / "b")
    assert found == history
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
