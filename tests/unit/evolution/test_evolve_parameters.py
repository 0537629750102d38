import pytest

from world_models.errors import ParameterError
from world_models.evolution.parameters import EvolveParameters
from world_models.schema import validate

REALITY = {
    "world": "reality",
    "renderer": "fast",
    "latent": "sample",
    "disturbance": "none",
    "strength": 0.0,
    "tau": None,
    "ends": None,
    "dropout": None,
    "lookahead_rounds": None,
    "lookahead_moments": None,
    "lookahead_steps": None,
    "features": "zh",
    "hidden": 0,
    "optimiser": "cma",
    "variant": "separable",
    "learning_rate": None,
    "population": 16,
    "rollouts": 2,
    "groups": 1,
    "hardest_of": None,
    "generations": 3,
    "restart_every": None,
    "sigma": 0.1,
    "max_steps": 1000,
    "patience": 60,
    "batch": 16,
    "validate_every": 2,
    "validation_episodes": 8,
    "finalists": 1,
    "final_episodes": 0,
    "seed": 1,
}
DREAM = {
    **REALITY,
    "world": "dream",
    "renderer": None,
    "latent": None,
    "disturbance": None,
    "strength": None,
    "tau": 1.15,
    "ends": "drawn",
    "dropout": 0.05,
    "lookahead_rounds": 0,
}
AHEAD = {**DREAM, "lookahead_rounds": 2, "lookahead_moments": 64, "lookahead_steps": 20}


OPENAI_ES = {**DREAM, "optimiser": "openai-es", "variant": None, "learning_rate": 0.01}


@pytest.mark.parametrize("values", [REALITY, DREAM, AHEAD, OPENAI_ES])
def test_accepts(values):
    assert validate(EvolveParameters, values, "x").model_dump() == values


@pytest.mark.parametrize(
    ("values", "fault", "message"),
    [
        (REALITY, {"batch": 15}, "batch = 15 must be a multiple of rollouts = 2"),
        (REALITY, {"renderer": None}, "renderer must have a value when world is reality"),
        (REALITY, {"latent": None}, "latent must have a value when world is reality"),
        (REALITY, {"strength": 0.1}, "strength 0.1 of no disturbance"),
        (REALITY, {"disturbance": "fog"}, "disturbance = 'fog'"),
        (DREAM, {"disturbance": "none"}, "disturbance must be null when world is dream"),
        (REALITY, {"tau": 1.0}, "tau must be null when world is reality"),
        (REALITY, {"ends": "drawn"}, "ends must be null when world is reality"),
        (DREAM, {"ends": None}, "ends must have a value when world is dream"),
        (DREAM, {"dropout": None}, "dropout must have a value when world is dream"),
        (REALITY, {"lookahead_rounds": 0}, "lookahead_rounds must be null when world is reality"),
        (DREAM, {"lookahead_rounds": 2}, "lookahead_moments must have a value when lookahead_rou"),
        (DREAM, {"lookahead_steps": 9}, "lookahead_steps must be null when lookahead_rounds is 0"),
        (AHEAD, {"hidden": 4}, "hidden = 4: looking ahead fits a linear C"),
        (DREAM, {"hardest_of": 4}, "hardest_of = 4 must be null in the dream: no"),
        (
            REALITY,
            {"hardest_of": 4, "rollouts": 1},
            "hardest_of = 4 must be null, or rollouts at least 2",
        ),
        (REALITY, {"groups": 3}, "population = 16 must be a multiple of groups = 3"),
        (REALITY, {"groups": 16}, "at least twice as many"),
        (DREAM, {"tau": None}, "tau must have a value when world is dream"),
        (DREAM, {"renderer": "fast"}, "renderer must be null when world is dream"),
        (REALITY, {"population": 2}, "population = 2"),
        (
            REALITY,
            {"optimiser": "adam"},
            "optimiser = 'adam' is not known; known are: cma, openai-es",
        ),
        (REALITY, {"variant": None}, "variant must have a value when optimiser is cma"),
        (REALITY, {"learning_rate": 0.1}, "learning_rate must be null when optimiser is cma"),
        (REALITY, {"optimiser": "openai-es"}, "learning_rate must have a value when optimiser is"),
        (OPENAI_ES, {"variant": "vd"}, "variant must be null when optimiser is openai-es"),
        (OPENAI_ES, {"population": 15}, "population = 15 must be a multiple of 2 when optimiser"),
        (REALITY, {"variant": "sep"}, "variant = 'sep'"),
        (REALITY, {"sigma": 0.0}, "sigma = 0.0"),
        (REALITY, {"elitism": 1}, "elitism: unknown parameter"),
    ],
)
def test_refuses_with_a_clear_line(values, fault, message):
    with pytest.raises(ParameterError) as caught:
        validate(EvolveParameters, values | fault, "carracing.evolve")
    assert message in str(caught.value)
    assert str(caught.value).startswith("carracing.evolve")
    assert len(str(caught.value)) < 300


def test_every_parameter_is_described():
    assert all(field.description for field in EvolveParameters.model_fields.values())
