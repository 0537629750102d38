"""Survival: Kaplan–Meier on a textbook case, and dreams that use the data's own actions."""

import numpy as np
from small_memory import DOOM, memory
from test_memory_data import latents

from world_models.memory.data import Steps
from world_models.worlds import dream_survival
from world_models.worlds.dream_survival import compare, observed


def test_equals_kaplan_and_meier_by_hand():
    """Deaths at 2, 3 and 5; one censored at 3, one at 5."""
    lengths, died = np.array([2, 3, 3, 5, 5]), np.array([True, True, False, True, False])
    expected = [1, 4 / 5, 4 / 5 * 3 / 4, 3 / 5, 3 / 5 * 1 / 2, 3 / 10]
    np.testing.assert_allclose(observed(lengths, died, 6), expected)


def test_dreams_of_a_deathless_m_outlive_all_and_of_a_deadly_one_none(monkeypatch):
    monkeypatch.setattr(dream_survival, "DREAMS", 8)
    data = latents([7, 5, 9], [True, False, True])
    steps = Steps.of(data, np.arange(3))
    for bias, alive in ((-60.0, 1.0), (60.0, 0.0)):
        m = memory(DOOM._replace(z_size=2), restart_bias=bias)
        table = compare(m, steps, data.lengths, data.terminated, seed=0)
        assert table["step"].tolist() == list(range(1, 10))
        assert (table["dreamed"] == alive).all()
        assert table["observed"].iloc[-1] == 0
