"""What a pipeline's row in MLflow says of itself."""

from world_models.tracking import pipelines


def test_a_stage_by_hand_with_an_overlay_belongs_to_no_cell():
    tags = {"environment": "carracing", "variant": "workspace", "experiment": "rounds"}
    stages = [("vae", "#/runs/1")]
    assert "run by hand, of experiment rounds" in pipelines.describe(tags, stages)
    assert "Cell **s1**" in pipelines.describe(tags | {"cell": "s1"}, stages)
    del tags["experiment"]
    assert "of experiment" not in pipelines.describe(tags, stages)
