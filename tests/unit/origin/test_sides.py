"""What is compared is looked at first: its files may be damaged."""

import pytest

from world_models.errors import InputError
from world_models.origin.sides import Side


@pytest.mark.parametrize("text", ["{", "[]", "[" * 10_000, '{"loss": Infinity}', b"\xff"])
def test_damaged_metrics_are_one_line_with_side_and_file(text):
    content = text if isinstance(text, bytes) else text.encode()
    side = Side("main~1", "", {}, {}, (), lambda _: content)
    with pytest.raises(InputError, match=r"main~1: metrics/vae\.json .*Run the stage vae again"):
        side.metrics("vae")


def test_a_side_without_metrics_has_none():
    assert Side("main", "", {}, {}, (), lambda _: None).metrics("vae") == {}
