import numpy as np
import pytest

from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec, Sizes, policies
from world_models.errors import InputError
from world_models.storage import artifact

SIZES = Sizes(z=32, h=256, action=3)


@pytest.fixture
def controller():
    theta = np.random.default_rng(1).normal(size=867).astype(np.float32)
    return Controller(ControllerSpec("zh", 0, bias=True), SIZES, theta)


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
    assert (loaded.spec, loaded.sizes) == (controller.spec, SIZES)
    expected = policies(controller.spec, SIZES, controller.theta, np.tanh)(x)
    np.testing.assert_array_equal(loaded.policy(np.tanh)(x), expected)


def test_another_environment_is_refused(controller, tmp_path):
    save(controller, tmp_path / "c")
    with pytest.raises(InputError, match="takecover"):
        Controller.load(tmp_path / "c", "takecover")


def test_other_sizes_are_refused(controller):
    controller.check(SIZES)
    with pytest.raises(InputError, match="z=64"):
        controller.check(Sizes(z=64, h=256, action=3))


def test_foreign_arrays_are_refused(controller):
    arrays, details = controller.payload()
    with pytest.raises(InputError, match="theta"):
        Controller.from_arrays({}, details)
    with pytest.raises(InputError, match="no controller"):
        Controller.from_arrays(arrays, {**details, "spec": {"layers": 3}})
