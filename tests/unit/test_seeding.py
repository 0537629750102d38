"""Streams and seed ranges."""

import itertools

import numpy as np
import pytest

from world_models.errors import InputError
from world_models.seeding import SPLIT_SIZE, SPLITS, episode_seeds, hold_out, stream, torch_seed


def test_stream_is_a_function_of_seed_purpose_and_index():
    keys = list(itertools.product((0, 1), ("a", "b"), ((), (0,), (1,), (0, 1))))
    first = [stream(seed, purpose, *index).random(4) for seed, purpose, index in keys]
    again = [stream(seed, purpose, *index).random(4) for seed, purpose, index in keys]
    assert np.array_equal(first, again)
    assert len({values.tobytes() for values in first}) == len(keys)


def test_stream_is_fixed_across_releases():
    assert stream(7, "shuffle", 3).integers(0, 1000, 5).tolist() == [188, 846, 298, 902, 973]


def test_torch_seed_fits_63_bits():
    seeds = [torch_seed(seed, "noise") for seed in range(100)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == 100


def test_splits_are_disjoint_for_any_seeds():
    for a, b in itertools.combinations(SPLITS, 2):
        for seeds in itertools.product((0, 1, 12345, 2**31 - 1), repeat=2):
            of_a = episode_seeds(a, seeds[0], 0, 1000)
            assert not np.intersect1d(of_a, episode_seeds(b, seeds[1], 0, 1000)).size


def test_seeds_within_a_split_are_distinct_31_bit_and_continue():
    seeds = episode_seeds("test", 3, 0, 100_000)
    assert np.unique(seeds).size == seeds.size
    assert seeds.min() >= 0
    assert seeds.max() < 2**31
    assert len(SPLITS) * SPLIT_SIZE <= 2**31
    assert np.array_equal(seeds[50:60], episode_seeds("test", 3, 50, 10))


def test_held_out_episodes_are_a_share_that_their_seeds_decide():
    seeds = episode_seeds("rollouts", 1, 0, 2000)
    parts = hold_out(seeds, 0.1)
    assert sorted([*parts.training, *parts.held_out]) == list(range(2000))
    assert 160 < len(parts.held_out) < 240
    held_out = set(seeds[parts.held_out].tolist())
    fewer, more = hold_out(seeds, 0.05), hold_out(episode_seeds("rollouts", 1, 0, 3000), 0.1)
    assert set(seeds[fewer.held_out].tolist()) < held_out
    grown = set(episode_seeds("rollouts", 1, 0, 3000)[more.held_out].tolist())
    assert held_out == grown & set(seeds.tolist()), "episodes that are added change no other"


def test_there_is_an_episode_to_learn_from_and_one_to_hold_out():
    for fraction in (1e-9, 1 - 1e-9):
        assert [len(part) for part in hold_out(np.array([5, 6]), fraction)] == [1, 1]
    with pytest.raises(InputError, match="1 episode"):
        hold_out(np.array([5]), 0.1)
