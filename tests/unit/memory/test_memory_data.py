"""Sequences: what follows what, where episodes end, and what a batch depends on."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from world_models.memory.data import Steps, Tracks, Windows, until_given_up
from world_models.storage.latents import Latents

LENGTHS = [7, 5, 9]
DIED = [True, False, True]


def latents(lengths=LENGTHS, died=DIED, sigma=1e-3):
    """z, action and reward of each step are its number, so that order can be read off."""
    n = sum(lengths)
    number = np.arange(n, dtype=np.float32)
    logvar = np.full((n, 2), 2 * np.log(sigma), np.float32)
    died = np.array(died)
    return Latents(
        mu=np.stack([number, -number], axis=1),
        logvar=logvar,
        actions=number[:, None],
        rewards=number / 10,
        offsets=np.cumsum([0, *lengths]),
        terminated=died,
        truncated=~died,
        seeds=np.arange(len(lengths)),
    )


def test_steps_know_starts_deaths_and_what_is_unknown():
    steps = Steps.of(latents(), np.array([0, 1, 2]))
    last = [6, 11, 20]
    assert np.flatnonzero(steps.starts).tolist() == [0, 7, 12]
    assert np.flatnonzero(steps.z_known == 0).tolist() == last
    assert np.flatnonzero(steps.ends).tolist() == [6, 20]


def test_a_truncated_episode_is_not_a_death_and_its_end_is_not_asked():
    steps = Steps.of(latents(), np.array([0, 1, 2]))
    assert steps.ends[11] == 0
    assert np.flatnonzero(steps.end_known == 0).tolist() == [11]


def test_targets_are_what_came_next():
    batch = Windows(Steps.of(latents(), np.arange(3)), length=6, batch_size=50, seed=0).batch(3)
    z, now = batch.targets, batch.actions[..., 0].round()
    known = z.z_mask == 1
    assert known.any()
    assert (~known).any()
    torch.testing.assert_close(z.z[known][:, 0], now[known] + 1, atol=0.01, rtol=0)
    torch.testing.assert_close(batch.z[..., 0], now, atol=0.01, rtol=0)
    torch.testing.assert_close(z.rewards, now / 10)
    assert torch.equal(batch.starts == 1, (now == 0) | (now == 7) | (now == 12))
    assert batch.counts.z == z.z_mask.sum()
    assert batch.counts.ends == z.end_mask.sum()


def test_every_step_is_seen_about_equally_often():
    long = latents([50] * 20, [True] * 20)
    windows = Windows(Steps.of(long, np.arange(20)), length=10, batch_size=100, seed=1)
    seen = torch.cat([windows.batch(step).actions.flatten() for step in range(100)])
    counts = np.bincount(seen.long().numpy(), minlength=1000)[10:-10]
    assert counts.min() > 0.5 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()


def test_short_data_are_padded_and_masked():
    steps = Steps.of(latents([4], [True]), np.array([0]))
    batch = Windows(steps, length=10, batch_size=3, seed=0).batch(0)
    assert batch.z.shape == (10, 3, 2)
    for mask, known in zip(batch.targets[1::2], (3, 4, 4), strict=True):
        assert torch.equal(mask[:known], torch.ones(known, 3))
        assert not mask[known:].any()


def test_batches_depend_on_seed_and_step_alone():
    steps = Steps.of(latents(sigma=1.0), np.arange(3))

    def make(seed):
        return Windows(steps, length=5, batch_size=8, seed=seed)

    one, other = make(4), make(4)
    other.batch(0)
    assert torch.equal(one.batch(7).z, other.batch(7).z)
    assert not torch.equal(one.batch(7).z, one.batch(8).z)
    assert not torch.equal(one.batch(7).z, make(5).batch(7).z)


def test_z_is_drawn_anew_with_v_s_deviation():
    steps = Steps.of(latents([300], [True], sigma=0.5), np.array([0]))
    windows = Windows(steps, length=300, batch_size=1, seed=0)
    z = torch.stack([windows.batch(step).z[:, 0, 0] for step in range(60)])
    noise = z - torch.from_numpy(steps.mu[:, 0])
    assert abs(noise.mean()) < 0.02
    assert 0.48 < noise.std() < 0.52


def test_devices_share_a_batch():
    windows = Windows(Steps.of(latents(), np.arange(3)), length=5, batch_size=7, seed=0)
    whole = windows.batch(2)
    shares = [windows.batch(2, rank, 2) for rank in range(2)]
    for rank, share in enumerate(shares):
        assert torch.equal(share.z, whole.z[:, rank::2])
        assert torch.equal(share.targets.z, whole.targets.z[:, rank::2])
        assert share.counts.z == whole.counts.z / 2


def tracks(steps, **changes):
    return Tracks(steps, **({"length": 10, "batch_size": 4, "seed": 1} | changes))


def test_tracks_go_on_where_they_were_and_an_epoch_sees_every_step_once():
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(5, 60, 9)]
    lengths.append(400 - sum(lengths))
    data = Steps.of(latents(lengths, [True] * 10), np.arange(10))
    batches = [tracks(data).batch(step) for step in range(20)]
    assert [batch.follows for batch in batches[:11]] == [False] + [True] * 9 + [False]
    epochs = []
    for first in (0, 10):
        epoch = batches[first : first + 10]
        for one, other in pairwise(epoch):
            known = one.targets.z_mask[-1] == 1
            torch.testing.assert_close(
                one.targets.z[-1][known], other.z[0][known], atol=0.01, rtol=0
            )
        now = torch.cat([batch.actions[..., 0] for batch in epoch]).T.flatten().long().numpy()
        assert sorted(now) == list(range(400))
        breaks = now[1:][np.diff(now) != 1]
        begin = np.flatnonzero(data.starts)
        assert set(breaks) <= set(begin)  # whole episodes, one after another
        epochs.append(now)
    assert not np.array_equal(*epochs)
    again = tracks(data).batch(13)
    for one, other in zip(again[:3], batches[13][:3], strict=True):
        assert torch.equal(one, other)


def test_tracks_share_a_batch_among_devices():
    data = Steps.of(latents([30] * 8, [True] * 8), np.arange(8))
    whole = tracks(data).batch(2)
    for rank in (0, 1):
        share = tracks(data).batch(2, rank, 2)
        assert torch.equal(share.z, whole.z[:, rank::2])
        assert share.follows == whole.follows
        assert share.counts.z == whole.counts.z / 2


def test_tracks_of_less_data_than_a_batch_are_padded_and_masked():
    data = Steps.of(latents(), np.arange(3))
    batch = tracks(data, length=10, batch_size=4).batch(1)
    assert batch.follows is False
    assert batch.targets.z_mask.sum() > 0
    assert torch.isfinite(batch.z).all()


@pytest.mark.parametrize(
    ("rewards", "patience", "length", "ended"),
    [
        ([-0.1, 3, 0, 0, 0, 3], 3, 5, True),  # with the third of three steps in a row
        ([-0.1, 3, 0, 0, 3, 0], 3, 6, False),  # a reward in time
        ([-0.1, 0, 3, 3, 0, 0], 2, 2, True),  # from the first step on
        ([3, 3, 3, 3, 0, 0], 2, 6, True),  # with its very last
        ([3, 3, 3, 3, 3, 0], 2, 6, False),
    ],
)
def test_an_episode_ends_where_play_would_give_it_up(rewards, patience, length, ended):
    data = replace(latents([6, 5], [False, True]), rewards=np.float32([*rewards, *[1] * 5]))
    cut = until_given_up(data, patience)
    assert cut.lengths.tolist() == [length, 5]
    assert cut.terminated.tolist() == [ended, True]
    assert cut.truncated.tolist() == [not ended, False]
    assert cut.mu[:, 0].tolist() == [*range(length), *range(6, 11)]
    losing = 0
    for step, reward in enumerate(rewards):  # play's own count
        losing = 0 if reward > 0 else losing + 1
        if losing >= patience:
            assert (length, ended) == (step + 1, True)
            break
    else:
        assert not ended
    for array in ("logvar", "actions", "rewards"):
        assert len(getattr(cut, array)) == length + 5
