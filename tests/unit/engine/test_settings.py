"""Execution settings come from the environment, and say what is wrong with it."""

import numpy as np
import pytest

from world_models.engine import cores
from world_models.engine.kind import differences, kind, threads_fault
from world_models.engine.settings import EngineSettings, open_engine
from world_models.errors import UserError


def test_defaults_are_all_usable_cores_and_no_cluster():
    settings = EngineSettings.from_environment({})
    assert settings == EngineSettings(cores.usable(), None, 3600.0)


def test_values_are_read():
    values = {"WORLD_MODELS_WORKERS": "3", "WORLD_MODELS_TIMEOUT": "1.5"}
    values["WORLD_MODELS_SCHEDULER"] = "tcp://127.0.0.1:8786"
    settings = EngineSettings.from_environment(values)
    assert settings == EngineSettings(3, "tcp://127.0.0.1:8786", 1.5)


@pytest.mark.parametrize("key", ["WORLD_MODELS_WORKERS", "WORLD_MODELS_TIMEOUT"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf"])
def test_a_value_that_is_no_positive_number_is_refused(key, value):
    with pytest.raises(UserError, match=f"{key} = '{value}': give a number above 0"):
        EngineSettings.from_environment({key: value})


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("world_models.engine.cluster._CONNECT", 0.5)
    settings = EngineSettings(1, "tcp://127.0.0.1:9", 10)
    with pytest.raises(UserError, match=r"tcp://127.0.0.1:9.*no Dask scheduler answers"):
        open_engine(settings)


def test_this_process_is_of_its_own_kind():
    assert differences(kind(), kind()) == []
    assert kind()["numpy"] == np.__version__


def test_differences_name_what_differs_and_nothing_else():
    (line,) = differences(kind(), {**kind(), "numpy": "1.0"})
    assert line == f"numpy: 1.0 there, {np.__version__} here"
    (line,) = differences({"avx2": "yes"}, {"avx2": "no"})
    assert line == "avx2: no there, yes here"


def test_more_than_one_thread_is_a_fault(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    assert threads_fault() is None
    monkeypatch.setenv("MKL_NUM_THREADS", "4")
    assert threads_fault() == "MKL_NUM_THREADS must be 1"
