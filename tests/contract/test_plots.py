"""What `dvc plots` draws: charts that are declared in full, by templates that leave out gaps."""

import json
import re
from pathlib import Path

import pytest
import vl_convert
from dvc_render import VegaRenderer

import vega
from world_models.schema import read_yaml

ROOT = Path(__file__).resolve().parents[2]
PIPELINES = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("**/dvc.yaml"))
TEMPLATES = ROOT / ".dvc/plots"
PICTURE = re.compile(r".*\.(png|gif)")


def charts(pipeline: str) -> dict[str, dict]:
    declared = read_yaml(ROOT / pipeline)["plots"]
    return {k: v for plot in declared if isinstance(plot, dict) for k, v in plot.items()}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_plot_is_a_picture_or_a_chart_that_is_declared_in_full(pipeline):
    declared = read_yaml(ROOT / pipeline)["plots"]
    pictures = [plot for plot in declared if isinstance(plot, str)]
    assert all(PICTURE.fullmatch(name) for name in pictures)  # a folder would show what lies there
    assert charts(pipeline)
    for name, chart in charts(pipeline).items():
        assert set(chart) == {"title", "template", "x", "x_label", "y", "y_label"}, name
        assert (TEMPLATES / f"{chart['template']}.json").exists(), name
        assert all(isinstance(columns, list) and columns for columns in chart["y"].values()), name


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_is_drawn_is_the_output_of_a_stage(pipeline):
    text = (ROOT / pipeline).read_text(encoding="utf-8")
    folder = Path(pipeline).parent
    drawn = [plot for plot in read_yaml(ROOT / pipeline)["plots"] if isinstance(plot, str)]
    drawn += [path for chart in charts(pipeline).values() for path in chart["y"]]
    for path in drawn:
        out = folder / Path(path).parent
        parents = {str(out), *map(str, out.parents)}
        assert any(f"- {re.sub('carracing|takecover', '${key}', p)}\n" in text for p in parents), (
            path
        )


def drawn(template: str, rows: list[dict[str, str]], x: str, y: str) -> str:
    """An SVG of rows of text, as DVC reads them from CSV."""
    rows = [{"rev": "main", "filename": "a.csv", "field": y, **row} for row in rows]
    labels = {"title": "Title", "x_label": "across", "y_label": "up"}
    known = {"template": template, "template_dir": str(TEMPLATES), "x": x, "y": y, **labels}
    specification = VegaRenderer(rows, "name", **known).get_filled_template()
    assert "DVC_METRIC" not in json.dumps(specification)
    return vl_convert.vegalite_to_svg(json.dumps(specification), vl_version=vega.VERSION)


def points(svg: str) -> list[int]:
    """How many corners each line has."""
    lines = re.findall(r'aria-roledescription="line mark"[^>]* d="([^"]*)"', svg)
    return [len(re.findall("[ML]", line)) for line in lines]


def test_a_curve_goes_from_validation_to_validation_and_never_through_zero():
    values = {1: "", 2: "500", 3: "", 4: "600", 5: ""}
    rows = [{"steps": str(at), "validation": value} for at, value in values.items()]
    svg = drawn("curve", rows, "steps", "validation")
    assert points(svg) == [2]
    assert all(word in svg for word in ("Title", "across", "up"))
    assert ">0</text>" not in svg  # the axis starts near the values


def test_a_distribution_has_a_line_for_each_policy():
    pairs = [("agent", 9), ("agent", 7), ("random", 1), ("random", 2), ("random", 3)]
    rows = [{"policy": policy, "return": str(value)} for policy, value in pairs]
    svg = drawn("distribution", rows, "return", "return")
    assert len(points(svg)) == 2
    assert all(word in svg for word in ("agent", "random", "across"))


def test_dimensions_are_ranked():
    rows = [{"dimension": str(d), "variance": str(v)} for d, v in enumerate((0.1, 0.9, 0.5))]
    assert points(drawn("ranked", rows, "dimension", "variance")) == [3]


def test_cells_have_a_mean_and_its_standard_error():
    rows = [
        {"cell": cell, "policy": "agent", "mean": str(mean), "se": "10", "n": "4"}
        for cell, mean in (("tau-10", 190), ("tau-115", 757))
    ]
    svg = drawn("cells", rows, "mean", "cell")
    assert svg.count('aria-roledescription="point"') == svg.count(
        'aria-roledescription="rule mark"'
    )
    assert svg.index("tau-10<") < svg.index("tau-115<")
