"""Strict parameters: each fault is one line with key, value and what is allowed."""

from typing import Annotated, Self

import pytest
from pydantic import Field, model_validator

from world_models import schema
from world_models.errors import ParameterError


class Example(schema.Parameters):
    rate: Annotated[float, Field(gt=0, le=1, description="a rate")]
    count: Annotated[int, Field(ge=1, description="a count")]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.count * self.rate > 10:
            raise ValueError(f"count = {self.count} is too many for rate = {self.rate}")
        return self


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"rate": 2.0, "count": 1}, "x.rate = 2.0: input should be less than or equal to 1."),
        ({"rate": "1", "count": 1}, "x.rate = '1': input should be a valid number."),
        ({"rate": 1.0, "count": True}, "x.count = True: input should be a valid integer."),
        ({"rate": 1.0}, "x.count: missing. Give it a value in params.yaml."),
        ({"rate": 1.0, "count": 1, "n": 0}, "x.n: unknown parameter. Known here: rate, count."),
        ({"rate": 1.0, "count": 99}, "x: count = 99 is too many for rate = 1.0."),
    ],
)
def test_fault_is_one_line(values, line):
    with pytest.raises(ParameterError) as fault:
        schema.validate(Example, values, "x")
    assert str(fault.value) == line


def test_every_fault_has_its_line():
    with pytest.raises(ParameterError) as fault:
        schema.validate(Example, {"rate": -1.0, "count": 0}, "x")
    assert len(str(fault.value).splitlines()) == 2


def test_slice_is_read_as_yaml_1_2(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("carracing:\n  vae: {rate: 3e-4, count: 2}\n  other: {rate: 1}\n")
    assert schema.load(path, "carracing", "vae", Example) == Example(rate=3e-4, count=2)


def test_parameters_are_frozen():
    example = Example(rate=0.5, count=1)
    with pytest.raises(ValueError, match="frozen"):
        example.count = 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("a: [1", "is not valid YAML"),
        ("[1, 2]", "holds no mapping"),
        ("carracing: {vae: {rate: 1}}", "no parameters for takecover."),
        ("takecover: 3", "no parameters for takecover."),
        ("takecover: {mdnrnn: {rate: 1}}", "no parameters for takecover.vae"),
    ],
)
def test_unreadable_files_are_named(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ParameterError, match=message) as fault:
        schema.load(path, "takecover", "vae", Example)
    assert "params.yaml" in str(fault.value)


@pytest.fixture
def files(tmp_path):
    params, overlay = tmp_path / "params.yaml", tmp_path / "more.yaml"
    params.write_text("carracing: {vae: {rate: 0.5, count: 1}, evolve: {rate: 0.1, count: 3}}")
    overlay.write_text("common: {vae: {count: 2}}\ncell: {vae: {count: 3}}\nbad: 4\n")
    return params, overlay


def load_with(params, overlay):
    given = schema.Overlay.parse(overlay)
    return schema.load(params, "carracing", "vae", Example, overlay=given)


def test_later_keys_of_an_overlay_win_and_the_rest_stays(files):
    params, more = files
    for keys, count in (("common", 2), ("common,cell", 3), ("cell,common", 2)):
        overlay = schema.Overlay.parse(f"{more}:{keys}")
        read = schema.load(params, "carracing", "vae", Example, overlay=overlay)
        assert read == Example(rate=0.5, count=count)
        assert str(overlay) == f"{more}:{keys}"
        untouched = schema.load(params, "carracing", "evolve", Example, overlay=overlay)
        assert untouched == Example(rate=0.1, count=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{more}:none", r"no parameters under none\. It has: common, cell, bad"),
        ("{more}:bad", r"no parameters under bad"),
        ("{more}", r"--overlay .*: give FILE:KEY"),
        ("{more}:", r"--overlay .*: give FILE:KEY"),
        ("{more}:cell,", r"--overlay .*: give FILE:KEY"),
        ("{more}.gone:cell", r"gone does not exist"),
    ],
)
def test_a_wrong_overlay_is_one_line(files, text, message):
    params, more = files
    with pytest.raises(ParameterError, match=message):
        load_with(params, text.format(more=more))
