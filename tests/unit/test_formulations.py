"""The one function that chooses: by device, shapes and wish, with and without ``fast/``."""

import json
import sys

import pytest

from world_models import devices, formulations
from world_models.errors import UserError
from world_models.fast import door
from world_models.formulations import TEXTBOOK, VARIABLE, Choice, choose, machine

V = {"z_size": 32, "channels": (32, 64, 128, 256)}
OTHER_V = {"z_size": 32, "channels": (16, 32, 64)}
M = {"cell": "lstm", "hidden_size": 256}


@pytest.fixture(autouse=True)
def _no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture(params=[False, True], ids=["without units", "with units"])
def units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A CPU without bfloat16 units, and one with them."""
    monkeypatch.setattr(door, "cpu_multiplies_bfloat16", lambda: request.param)
    return request.param


def test_the_cpu_decides_by_its_units(units: bool) -> None:
    precision = "bfloat16" if units else "float32"
    name = "columns-bfloat16" if units else "winograd-float32"
    assert choose("V", V) == Choice("cpu", name, precision)
    assert choose("M", M) == Choice("cpu", f"compiled-{precision}", precision)


@pytest.mark.usefixtures("units")
def test_other_shapes_get_the_textbook_in_float32() -> None:
    assert choose("V", OTHER_V) == Choice("cpu", TEXTBOOK, "float32")
    assert choose("M", M | {"cell": "gru"}) == Choice("cpu", TEXTBOOK, "float32")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_accelerators_get_the_textbook(device: str) -> None:
    expected = Choice(device, TEXTBOOK, "float32")
    assert choose("V", V, device) == choose("M", M, device) == expected


@pytest.mark.usefixtures("units")
def test_a_wish_is_granted_from_argument_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    textbook = Choice("cpu", TEXTBOOK, "float32")
    assert choose("V", V, wish="textbook") == choose("M", M, wish="textbook") == textbook
    monkeypatch.setenv(VARIABLE, "textbook")
    assert choose("V", V) == choose("M", M) == textbook
    assert choose("V", V, wish="winograd-float32").formulation == "winograd-float32"


def test_each_part_takes_the_names_that_are_its_own(units: bool) -> None:
    wish = " winograd-float32, compiled-bfloat16 "
    assert choose("V", V, wish=wish) == Choice("cpu", "winograd-float32", "float32")
    assert choose("M", M, wish=wish) == Choice("cpu", "compiled-bfloat16", "bfloat16")
    assert choose("M", M, wish="winograd-float32") == choose("M", M)


@pytest.mark.parametrize(
    ("shapes", "device", "wish", "message"),
    [
        (V, "cpu", "cudnn", r"no formulation 'cudnn'\. Known here: textbook, .*winograd-float32"),
        (OTHER_V, "cpu", "winograd-float32", r"\(32, 64, 128, 256\); here .* \(16, 32, 64\)"),
        (V, "cuda", "columns-bfloat16", "on a CPU .* is on cuda"),
        (V, "mps", "winograd-float32", "on a CPU .* is on mps"),
    ],
)
def test_a_wish_that_cannot_be_is_one_clear_line(
    shapes: dict, device: str, wish: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as fault:
        choose("V", shapes, device, wish)
    assert VARIABLE in str(fault.value)
    assert len(str(fault.value).splitlines()) == 1


@pytest.mark.usefixtures("units")
def test_without_the_folder_fast_there_is_the_textbook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "world_models.fast.door", None)
    monkeypatch.setitem(sys.modules, "world_models.fast", None)
    assert choose("V", V) == choose("M", M) == Choice("cpu", TEXTBOOK, "float32")
    with pytest.raises(UserError, match="Known here: textbook"):
        choose("V", V, wish="winograd-float32")


def test_a_broken_door_is_no_absent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ModuleNotFoundError("no numpy", name="numpy")

    monkeypatch.delitem(sys.modules, "world_models.fast.door")
    monkeypatch.delattr("world_models.fast.door", raising=False)
    finder = type("Finder", (), {"find_spec": staticmethod(lambda *_: fail())})
    monkeypatch.setattr(sys, "meta_path", [finder])
    with pytest.raises(ModuleNotFoundError, match="no numpy"):
        formulations.choose("V", V)


def test_a_choice_is_json_for_cards() -> None:
    choice = choose("V", V, wish="winograd-float32")
    expected = {"device": "cpu", "formulation": "winograd-float32", "precision": "float32"}
    assert json.loads(json.dumps(choice.details())) == expected


def test_names_are_unique_and_each_part_has_one_for_each_kind_of_cpu(units: bool) -> None:
    names = [found.name for found in door.FORMULATIONS]
    assert len(set(names)) == len(names)
    assert TEXTBOOK not in names
    suitable = [found.part for found in door.FORMULATIONS if found.suits()]
    assert sorted(suitable) == ["M", "V"]


def test_the_key_of_resume_state_differs_where_a_choice_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for units, wish, device in [
        (0, "", "cpu"),
        (1, "", "cpu"),
        (1, "textbook", "cpu"),
        (1, "", "mps"),
    ]:
        monkeypatch.setattr(door, "cpu_multiplies_bfloat16", lambda units=units: bool(units))
        monkeypatch.setenv(VARIABLE, wish)
        monkeypatch.setattr(devices, "is_available", lambda _: True)
        monkeypatch.setenv("WORLD_MODELS_ACCELERATOR", device)
        found.append(json.dumps(machine()))
    assert len(set(found)) == 4
