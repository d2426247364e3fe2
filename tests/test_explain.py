"Scores, Grad-CAM and its checks, on networks with random weights: what must hold for any network."

import matplotlib

matplotlib.use("Agg")

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_grad_cam import GradCAM

from hemidiaphragm_nb.evaluate import choose_cases
from hemidiaphragm_nb.explain import (
    _STAGES,
    _TASKS,
    METHODS,
    _activations_and_gradients,
    _fourth_block,
    _landmark_weight,
    _OneOutput,
    _randomise,
    _WeightedSum,
    blank_reasons,
    cam,
    explain_report,
    explained_cases,
    figure8,
    figure9,
    lower_lung_cases,
    randomisation_test,
    rank_correlation,
    score_weights,
    signed_maps,
)
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.landmarks import split_by_patient
from hemidiaphragm_nb.lower_lung import lower_fractions, lower_lung_table
from hemidiaphragm_nb.models import shipped_model
from hemidiaphragm_nb.networks import TorchPredictor, build_net, ensemble, members
from hemidiaphragm_nb.radiograph import FRAME, shrink, to_float
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.results import results_folder

SIDE = 64
FRAMES = phantom_frames(8, seed=14, side=SIDE)
IMAGES = FRAMES.images
X = torch.as_tensor(to_float(shrink(IMAGES, SIDE)))


def untrained(seed: int) -> TorchPredictor:
    "A network as it is before training."
    r = recipe(side=SIDE, width=8, seed=seed, precision="fp32")
    return TorchPredictor(build_net(r).eval(), r)


@pytest.fixture(scope="module", params=[0, 1])
def model(request) -> TorchPredictor:
    return untrained(request.param)


def test_choice_is_by_error():
    errors = [[5, 5], [np.nan, np.nan], [1, 1], [np.inf, 2], [3, np.nan], [9, 7]]
    chosen = choose_cases(np.array(errors), 1)
    assert chosen[["kind", "case"]].values.tolist() == [["worst", 3], ["median", 0], ["best", 2]]
    assert chosen.error.tolist() == [np.inf, 5.0, 1.0]
    with pytest.raises(ValueError, match="5 cases"):
        choose_cases(np.array(errors), 2)


def spots(model: TorchPredictor) -> np.ndarray:  # (n, 2, s, s) bool
    "Pixels within R/5 of the predicted points, which may lie outside the frame."
    u = (np.arange(SIDE) + 0.5) * FRAME / SIDE - 0.5
    points = model.recipe.decode(model.predict(IMAGES).heatmaps)[..., None, None]
    return np.hypot(u - points[:, :, 0], u[:, None] - points[:, :, 1]) <= 20


@pytest.mark.parametrize("task, weight", [("landmark", 1.0), ("mask", 0.0), (0.25, 0.25)])
def test_score_weights_add_up_to_their_weights(model, task, weight):
    w = score_weights(model, IMAGES, task)
    # nothing for a landmark outside the frame or a lung that was not found
    found = spots(model).any((2, 3)).mean(1)
    assert w[:, :2].sum((1, 2, 3)) == pytest.approx(-weight * found, abs=1e-5)
    found = (model.predict(IMAGES).lungs > 0.5).any((2, 3)).mean(1)
    assert w[:, 2:].sum((1, 2, 3)) == pytest.approx((1 - weight) * found, abs=1e-5)


def test_landmark_score_is_the_mean_around_the_predicted_points(model):
    heat, near = model.predict(IMAGES).heatmaps, spots(model)
    w = score_weights(model, IMAGES, "landmark")[:, :2]
    for weights, maps, regions in zip(w, heat, near):
        means = [m[r].mean() if r.any() else 0 for m, r in zip(maps, regions)]
        assert (weights * maps).sum() == pytest.approx(-np.mean(means), abs=1e-4)


def test_tasks_that_cannot_be_asked(model):
    with pytest.raises(ValueError, match="'lungs'"):
        score_weights(model, IMAGES, "lungs")
    with pytest.raises(ValueError, match="from 0 to 1"):
        score_weights(model, IMAGES, 1.5)
    one_task = replace(model, recipe=replace(model.recipe, tasks=("mask",)))
    with pytest.raises(ValueError, match="needs the output 'heatmap'"):
        _landmark_weight(one_task, "both")


def like_the_package(signed: torch.Tensor) -> np.ndarray:
    "ReLU, stretched to [0, 1], enlarged, stretched again; 0 where there is nothing to stretch."

    def stretch(m):
        low, high = m.amin((1, 2), keepdim=True), m.amax((1, 2), keepdim=True)
        return torch.where(high > low, (m - low) / (high - low), 0)

    up = torch.nn.functional.interpolate
    small = stretch(signed.relu())[:, None]
    return stretch(up(small, size=(SIDE, SIDE), mode="bilinear")[:, 0]).numpy()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", _TASKS)
def test_package_does_what_is_done_by_hand(model, method, task):
    w, layer = score_weights(model, IMAGES, task), _fourth_block(model.net)
    signed = signed_maps(*_activations_and_gradients(model.net, X, w, layer), method)
    # maps that are mere rounding of what was added up are left out
    clear = (signed.amax((1, 2)) > 1e-3 * signed.abs().amax((1, 2))).numpy()
    maps = cam(model, IMAGES, w, method)
    assert maps.shape == (len(IMAGES), SIDE, SIDE)
    assert maps[clear] == pytest.approx(like_the_package(signed)[clear], abs=5e-3)
    # images do not influence each other
    assert maps[clear] == pytest.approx(cam(model, IMAGES, w, method, batch=3)[clear], abs=5e-3)
    # two members who agree explain themselves as one does
    twins = ensemble([model, model])
    again = cam(twins, IMAGES, score_weights(twins, IMAGES, task), method)
    assert maps[clear] == pytest.approx(again[clear], abs=5e-3)
    assert all(p.grad is None for p in model.net.parameters())


def test_activations_and_gradients_are_those_of_the_package(model):
    w, layer = score_weights(model, IMAGES), _fourth_block(model.net)
    activations, gradients = _activations_and_gradients(model.net, X, w, layer)
    with GradCAM(_OneOutput(model.net), [layer]) as explain:
        explain(X, [_WeightedSum(torch.as_tensor(one)) for one in w])
        seen = explain.activations_and_grads
        torch.testing.assert_close(seen.activations[0], activations)
        torch.testing.assert_close(seen.gradients[0], gradients, rtol=1e-3, atol=1e-6)


def test_a_tuple_of_outputs_is_misread_by_the_package(model):
    calls = []

    class Spy(_WeightedSum):
        def __call__(self, output):
            calls.append(tuple(output.shape))
            return output.sum()

    with GradCAM(model.net, [_fourth_block(model.net)]) as careless:
        careless(X, [Spy(None) for _ in IMAGES])
    assert calls == [(len(IMAGES), 2, SIDE, SIDE)] * 2  # two targets of eight, on whole batches


def test_signed_map_is_linear_in_the_score(model):
    layer, weight = _fourth_block(model.net), _landmark_weight(model, "both")
    maps = {}
    for task in _TASKS:
        w = score_weights(model, IMAGES, task)
        maps[task] = signed_maps(*_activations_and_gradients(model.net, X, w, layer))
    mixed = weight * maps["landmark"] + (1 - weight) * maps["mask"]
    torch.testing.assert_close(mixed, maps["both"], rtol=1e-3, atol=1e-5 * float(mixed.abs().max()))


def test_blank_maps_have_a_reason(model):
    layer = _fourth_block(model.net)
    for task in _TASKS:
        w = score_weights(model, IMAGES, task)
        pair = _activations_and_gradients(model.net, X, w, layer)
        for method in METHODS:
            blank = np.array([r != "" for r in blank_reasons(*pair, method)])
            assert not cam(model, IMAGES, w, method)[blank].any()


def test_figures(model):
    cases = choose_cases(np.arange(16.0).reshape(8, 2), 2)
    maps = cam(model, IMAGES[cases.case], score_weights(model, IMAGES[cases.case], "landmark"))
    fig = figure9(model, FRAMES, cases)
    assert len(fig.axes) == 4 * 6
    drawn = fig.axes[6].images[1].get_array()
    assert np.asarray(drawn) == pytest.approx(maps[0], abs=1e-4)
    over = figure8(model, FRAMES, cases).axes[-1]  # the best case: marks stand where they should
    blue, red = (np.array(line.get_xydata()) for line in over.lines)
    best = cases.case.iloc[-1]
    points = model.recipe.decode(model.predict(IMAGES[[best]]).heatmaps)[0]
    for marks, known in ((blue, FRAMES.points[best]), (red, points)):
        assert (marks + 0.5) * FRAME / SIDE - 0.5 == pytest.approx(known, abs=1e-3)


def changed(model: TorchPredictor, other: TorchPredictor) -> set[str]:
    pairs = zip(model.net.state_dict().items(), other.net.state_dict().values())
    return {k.split(".")[0] for (k, v), w in pairs if not torch.equal(v, w)}


def test_randomised_stages(model):
    assert {n for n, _ in model.net.named_children()} - {"pool"} == set(_STAGES)
    other = untrained(7)
    assert changed(model, _randomise(model, ())) == set()
    assert changed(model, _randomise(model, ("heads", "decoder"), seed=7)) == {"heads", "decoder"}
    assert changed(model, _randomise(model, seed=7)) == set(_STAGES)
    assert changed(other, _randomise(model, seed=7)) == set()
    with pytest.raises(ValueError, match="middle"):
        _randomise(model, ("middle",))


def test_each_member_of_an_ensemble_is_drawn_by_itself(model):
    pair = members(_randomise(ensemble([model, _randomise(model, ("heads",))])).net)
    assert len(pair) == 2
    assert not torch.equal(*(next(one.encoder.parameters()) for one in pair))


def test_rank_correlation():
    ramp = np.arange(9.0).reshape(1, 3, 3)
    assert rank_correlation(ramp, ramp**3) == pytest.approx([1.0])  # ranks alone count
    assert rank_correlation(ramp, -ramp) == pytest.approx([-1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rank_correlation(ramp, ramp)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_map_has_no_ranks_and_says_so(value):
    ramp = np.arange(9.0).reshape(1, 3, 3)
    with pytest.warns(UserWarning, match="1 of 1 pairs have a constant map"):
        assert np.isnan(rank_correlation(ramp, np.full_like(ramp, value))).all()


@pytest.mark.parametrize("method", METHODS)
def test_randomisation_counts_what_it_leaves_out(model, method):
    table = randomisation_test(model, IMAGES[:3], "both", method).set_index("randomised")
    assert (table.correlation.isna() == (table.images == 0)).all()
    assert table.images.max() <= 3 and table.blank.between(0, 1).all()
    if table.images["nothing"]:
        assert table.correlation["nothing"] == pytest.approx(1.0)


def test_all_maps_blank_says_nothing_and_breaks_nothing(monkeypatch):
    def blank(model, images, *rest):
        return np.zeros((len(images), SIDE, SIDE), np.float32)

    monkeypatch.setattr("hemidiaphragm_nb.explain.cam", blank)
    network = untrained(0)
    table = randomisation_test(network, IMAGES[:2])
    assert table.correlation.isna().all() and (table.images == 0).all() and (table.blank == 1).all()
    found = lower_lung_table(lower_lung_cases(network, FRAMES))
    assert found[["mass", "excess", "low", "high"]].isna().all(axis=None)
    assert (found.blank == len(FRAMES)).all()
    assert len(figure9(network, FRAMES, choose_cases(np.arange(16.0), 1)).axes) == 4 * 3


def test_lower_lung_cases_are_the_fractions_of_the_maps(model):
    cases = lower_lung_cases(model, FRAMES, methods=("HiResCAM",), fractions=(0.5,))
    assert len(cases) == 2 * 3 * len(FRAMES)
    one = cases[(cases.task == "mask") & (cases.network == "trained")].reset_index(drop=True)
    maps = cam(model, IMAGES, score_weights(model, IMAGES, "mask"), "HiResCAM")
    direct = lower_fractions(maps, FRAMES.masks)
    expected = direct.fillna(-1).to_numpy()
    assert one[direct.columns].fillna(-1).to_numpy() == pytest.approx(expected, abs=1e-4)


def test_images_are_predicted_once_for_all_tasks():
    model, asked = untrained(0), []
    cases = choose_cases(np.arange(16.0), 1)
    expected = lower_lung_cases(model, FRAMES, methods=("HiResCAM",), random_seed=None)
    predict = model.predict
    model.predict = lambda images: asked.append(len(images)) or predict(images)
    found = lower_lung_cases(model, FRAMES, methods=("HiResCAM",), random_seed=None)
    pd.testing.assert_frame_equal(found, expected)
    assert asked == [len(FRAMES)]
    figure9(model, FRAMES, cases)
    assert asked == [len(FRAMES), len(cases)]


def test_analysis_four_asks_of_the_held_out_cases():
    "A fifth of forty phantoms, by patient; the lesson's at the shipped network's side."
    cases = explained_cases()
    assert cases.side == 256 and len(cases) == 8
    split = split_by_patient(phantom_frames(40).table, seed=0)["test"]
    ids = phantom_frames(40).table["id"]
    assert cases.table["id"].tolist() == ids.iloc[split].tolist()


def test_report_of_a_network_predicts_each_case_once(model, monkeypatch):
    asked, predict = [], type(model).predict
    counted = lambda self, frames: asked.append(len(frames)) or predict(self, frames)  # noqa: E731
    monkeypatch.setattr(type(model), "predict", counted)
    report = explain_report(FRAMES, model)
    assert asked == [len(FRAMES)]
    assert report.keys() == {"figure8", "figure9", "lower_lung"}
    assert len(report["lower_lung"]) == 2 * 2 * 3 * 2


def test_a_saved_network_is_the_same(model, tmp_path):
    assert shipped_model(tmp_path) is None
    model.save(tmp_path)
    again = shipped_model(tmp_path).predict(IMAGES[:2])
    assert np.array_equal(again.heatmaps, model.predict(IMAGES[:2]).heatmaps)


@pytest.mark.parametrize("name", ["lower_lung", "lower_lung_former"])
def test_saved_fractions_of_real_radiographs_are_whole(name):
    "Of the network that ships, and of the three that shipped before and cannot be asked again."
    saved = results_folder("explain", file="lower_lung.csv")
    if saved is None:
        pytest.skip("needs the saved results")
    real = pd.read_csv(saved / f"{name}.csv", dtype={"id": str, "patient_id": str})
    held_out = pd.read_csv(saved.parent / "shipped/test_cases.csv", dtype={"id": str})["id"]
    keys = ["network", "method", "task", "fraction"]
    assert not real.duplicated(["id", *keys]).any()
    kinds = real.groupby(keys)["id"].agg(sorted)
    assert len(kinds) == 2 * 2 * 3 * 2
    assert all(ids == sorted(held_out) for ids in kinds)
    found = lower_lung_table(real)
    assert (found.maps + found.blank == len(held_out)).all()
    drawn = real[real["mass"].notna()]
    assert drawn[["mass", "area", "outside"]].stack().between(0, 1).all()
    assert drawn["excess"].to_numpy() == pytest.approx(drawn["mass"] - drawn["area"], abs=2e-4)
    areas = real.pivot(index=["id", *keys[:-1]], columns="fraction", values="area")
    assert (areas[0.3333] < areas[0.5]).all()
