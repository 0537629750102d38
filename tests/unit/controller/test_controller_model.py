import numpy as np
import pytest

from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec, policies
from world_models.errors import InputError
from world_models.storage import artifact

SPEC = ControllerSpec("zh", 288, 0, 3, bias=True)


@pytest.fixture
def controller():
    theta = np.random.default_rng(1).normal(size=867).astype(np.float32)
    return Controller(SPEC, theta)


def save(controller, folder):
    details = controller.payload()[1]
    with artifact.create(
        folder,
        kind="controller",
        environment="carracing",
        stage="evolve",
        parameters={},
        metrics={},
        details=details,
    ) as temporary:
        controller.save(temporary)


def test_saved_and_loaded_it_acts_the_same(controller, tmp_path):
    save(controller, tmp_path / "c")
    loaded = Controller.load(tmp_path / "c", "carracing")
    x = np.random.default_rng(2).normal(size=(4, 288)).astype(np.float32)
    assert loaded.spec == SPEC
    expected = policies(SPEC, controller.theta, np.tanh)(x)
    np.testing.assert_array_equal(loaded.policy(np.tanh)(x), expected)


def test_another_environment_is_refused(controller, tmp_path):
    save(controller, tmp_path / "c")
    with pytest.raises(InputError, match="takecover"):
        Controller.load(tmp_path / "c", "takecover")


def test_other_sizes_are_refused(controller):
    controller.check(288, 3)
    with pytest.raises(
        InputError, match=r"sees zh as 288 numbers and gives 3, but .* these are 320 and 3"
    ):
        controller.check(320, 3)


def test_foreign_arrays_are_refused(controller):
    arrays, details = controller.payload()
    with pytest.raises(InputError, match="theta"):
        Controller.from_arrays({}, details)
    with pytest.raises(InputError, match="no controller"):
        Controller.from_arrays(arrays, {**details, "spec": {"layers": 3}})
