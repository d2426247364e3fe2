"The plans of the analyses: by their keys saved results are found again."

import pytest

from hemidiaphragm_nb.recipes import PRESETS
from hemidiaphragm_nb.replicate import analysis_plan
from hemidiaphragm_nb.saturation import channel_plan, distance_plan, saturation_plan

KEYS = {  # analysis, scale and preset -> the first and the last key
    ("saturation", "quick", None): (
        "beta1-heatmap-alone-r0-368896ed89",
        "beta200-heatmap-alone-r1-cbddda11ec",
    ),
    ("saturation", "laptop", "study"): (
        "beta1-heatmap-alone-r0-25c1d2a043",
        "beta200-heatmap-alone-r1-fd4cae548b",
    ),
    ("saturation", "full", None): (
        "beta1-heatmap-alone-r0-1a2ed879eb",
        "beta200-heatmap-alone-r4-4fab99f0a7",
    ),
    ("saturation", "full", "paper"): (
        "beta1-heatmap-alone-r0-63bf68e898",
        "beta200-heatmap-alone-r4-980fa12b08",
    ),
    ("balance", "quick", None): (
        "beta125-lambda0.1-r0-53814314b7",
        "beta125-lambda0.99-r1-65b2e83e20",
    ),
    ("balance", "laptop", "study"): (
        "beta125-lambda0.1-r0-b572e5221c",
        "beta125-lambda0.99-r1-e9ad8f9bfa",
    ),
    ("balance", "full", None): (
        "beta125-lambda0.1-r0-18d49fd626",
        "beta125-lambda0.99-r4-67fa465499",
    ),
    ("balance", "full", "paper"): (
        "beta125-lambda0.1-r0-85deaa9309",
        "beta125-lambda0.99-r4-650c5ceec9",
    ),
    ("multitask", "quick", None): (
        "beta125-heatmap-alone-r0-4173067201",
        "beta125-lambda0.95-r1-f4d859ae22",
    ),
    ("multitask", "laptop", "study"): (
        "beta125-heatmap-alone-r0-01d7aaf671",
        "beta125-lambda0.95-r1-8b1056f815",
    ),
    ("multitask", "full", None): (
        "beta125-heatmap-alone-r0-01643ea7de",
        "beta125-lambda0.95-r4-f6e952cbd2",
    ),
    ("multitask", "full", "paper"): (
        "beta125-heatmap-alone-r0-bb356fd400",
        "beta125-lambda0.95-r4-59fed99759",
    ),
}


@pytest.mark.parametrize("how", KEYS, ids=map(str, KEYS))
def test_keys_are_those_of_before(how):
    name, scale, preset = how
    plan = analysis_plan(name, "phantom", scale, None, preset)
    assert (plan.runs[0].key, plan.runs[-1].key) == KEYS[how]


@pytest.mark.parametrize("plan", [saturation_plan, distance_plan, channel_plan])
def test_analysis_one_trains_the_heatmap_alone_whatever_the_base(plan):
    for base in (None, PRESETS["paper"]):
        runs = plan(repeats=1, base=base, data="phantom")
        assert {run.recipe.tasks for run in runs} == {("heatmap",)}
