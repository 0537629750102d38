import json
from pathlib import Path

import pytest

from world_models.errors import UserError
from world_models.reports import cells, results

ROOT = Path(__file__).resolve().parents[3]
SCORE = {"mean": 686.44, "sd": 97.2, "se": 21.7, "n": 20, "length": 987.5}


def _evaluated(folder: Path) -> Path:
    (folder / "carracing").mkdir(parents=True)
    scores = {"agent": SCORE, "random": SCORE | {"mean": -32.6}}
    (folder / "carracing" / "evaluate.json").write_text(json.dumps(scores))
    return folder


def test_a_row_for_each_score_with_its_command(tmp_path):
    lines = results.table(_evaluated(tmp_path)).splitlines()
    head, rule, agent, random = ([cell.strip() for cell in line.split("|")] for line in lines)
    assert len({len(cells) for cells in (head, rule, agent, random)}) == 1
    assert agent[1:-1] == [
        "CarRacing-v3",
        "trained agent",
        "686 ± 22",
        "97",
        "20",
        "988",
        "906 ± 21",
        "`dvc repro evaluate@carracing`",
    ]
    assert random[2:4] == ["random policy", "-33 ± 22"]


def test_nothing_evaluated_is_no_table(tmp_path):
    with pytest.raises(UserError, match="evaluate something first"):
        results.table(tmp_path)


@pytest.mark.parametrize("experiment", [None, "rounds"])
def test_writing_replaces_only_what_stands_between_the_markers(tmp_path, experiment):
    document, (begin, end) = tmp_path / "README.md", results.markers(experiment)
    other = "\n".join(["", *results.markers("another"), ""])
    document.write_text(f"# A\n\n{begin}\nold\n{end}\n\nafter\n{other}")
    table = results.table(_evaluated(tmp_path / "metrics"))
    for _ in range(2):  # writing twice changes nothing more
        results.write(document, table, experiment)
        assert document.read_text() == f"# A\n\n{begin}\n{table}\n{end}\n\nafter\n{other}"
    assert results.block(document.read_text(), experiment) == table


def test_a_document_without_markers_is_refused(tmp_path):
    (tmp_path / "a.md").write_text("# A\n")
    with pytest.raises(UserError, match="end of results"):
        results.write(tmp_path / "a.md", "x")


def test_readme_holds_what_was_measured():
    written = results.block((ROOT / "README.md").read_text(encoding="utf-8"))
    assert written == results.table(ROOT / "metrics"), "world-models results --write README.md"


def test_the_page_of_results_holds_what_was_measured():
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    measured = [path.parent for path in ROOT.glob("experiments/*/metrics/*/evaluate.json")]
    for experiment in sorted({folder.parents[1] for folder in measured}):
        table = cells.table(cells.load(experiment), cells.published(experiment))
        written = results.block(page, experiment.name)
        assert written == table, f"world-models results {experiment.name} --write docs/results.md"
