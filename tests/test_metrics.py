"Metrics beyond what notebook 07 shows: empty and unknown cases, tensors, other libraries' answers."

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score, roc_auc_score
from torchmetrics.functional.classification import binary_stat_scores

from hemidiaphragm_nb.limits import bland_altman, plot_bland_altman
from hemidiaphragm_nb.metrics import (
    SCORES,
    Evaluation,
    _better,
    _class_scores,
    auc_from_histogram,
    bootstrap_interval,
    holm,
    radial_error,
    scores_from_counts,
    segmentation_scores,
    signed_rank,
    threshold_accuracy,
    wilcoxon_pairs,
)
from hemidiaphragm_nb.pixels import confusion, frame_mm, in_mm, score_histogram

nan = np.nan
near, same = np.testing.assert_allclose, np.testing.assert_array_equal  # NaN equals NaN in both
seeds = st.integers(0, 10**6)


def disc(x, y, r):
    yy, xx = np.mgrid[:64, :64]
    return ((xx - x) ** 2 + (yy - y) ** 2 <= r**2).astype(np.uint8)


def fake_cases(n, side=128, seed=0, noise=8.0):
    "Two discs as lungs, their lowest points as landmarks, and a noisy prediction of both."
    g = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] * (512 / side)

    def depth(centres):  # below the edge of the nearer disc, px
        d = np.hypot(x - centres[..., 0, None, None], y - centres[..., 1, None, None])
        return 90 - d.min(1)

    centre = np.array([[150.0, 250], [360, 250]]) + g.normal(0, 15, (n, 2, 2))
    guess = centre + g.normal(0, noise, (n, 2, 2))
    prob = (1 / (1 + np.exp(-depth(guess) / 6))).astype(np.float32)
    return guess + [0, 90], centre + [0, 90], prob, depth(centre) > 0


TRUTH = np.array([[[150.0, 330], [360, 340]], [[150, 330], [nan, nan]], [[150, 330], [360, 340]]])
PRED = np.array([[[153.0, 334], [360, 340]], [[150, 342], [360, 340]], [[nan, nan], [372, 335]]])


# Landmarks


def test_points_must_be_paired():
    with pytest.raises(ValueError, match=r"\(2, 2, 2\) and \(3, 2, 2\)"):
        radial_error(PRED[:2], TRUTH)


def test_an_unknown_spacing_gives_an_unknown_error():
    mm = frame_mm((0.2, 0.1), height=2048, width=1024)  # 4 stored pixels a frame pixel
    scale = np.stack([mm, mm, frame_mm(None, 2048, 1024)])
    expected = [[np.hypot(3 * 0.4, 4 * 0.8), 0], [12 * 0.8, nan], [nan, nan]]
    near(radial_error(in_mm(PRED, scale), in_mm(TRUTH, scale)), expected)


def test_accuracy_counts_what_it_leaves_out():
    five = np.hypot([4, 15, -40, 70, -90], [5, -9, 6, -30, -90])
    acc = threshold_accuracy(np.c_[five, np.full(5, nan)])
    left, both = acc.query("lung == 'left'"), acc.query("lung == 'both'")
    assert left[["points", "unknown"]].drop_duplicates().values.tolist() == [[0, 5]]
    assert left.accuracy.isna().all()
    assert both.accuracy.tolist() == [80.0, 60, 40, 20]
    assert both.hits.tolist() == [4, 3, 2, 1]


def test_accuracy_is_strictly_below():
    assert threshold_accuracy([[10.0, 10 - 1e-9]], [10]).accuracy.tolist() == [0.0, 100, 50]


def test_a_missing_point_is_a_miss():
    both = threshold_accuracy([[np.inf, 1]], [25]).query("lung == 'both'")
    assert both[["threshold", "accuracy"]].values.tolist() == [["25 px", 50.0]]


# Masks


def score(p, t, key):
    return scores_from_counts(confusion(p, t))[key].item()


@pytest.mark.parametrize("key", ["dice", "jaccard", "precision", "recall", "f1_macro", "accuracy"])
def test_empty_and_full_masks(key):
    z, o = np.zeros((1, 4, 4)), np.ones((1, 4, 4))
    assert score(z, z, key) == 1  # empty against empty
    assert score(o, o, key) == 1  # full against full: no background, none predicted
    assert score(z, o, key) == 0  # all missed
    assert score(o, z, key) == 0  # all invented


def test_dice_ranks_as_the_eye_does():
    target = disc(32, 32, 20)
    answers = [target, disc(40, 32, 20), disc(32, 32, 14), 0 * target, 1 + 0 * target]
    scores = scores_from_counts(confusion(np.stack(answers), np.stack([target] * 5)))
    assert scores["dice"].argmax() == 0 and scores["dice"].argmin() == 3
    assert scores["precision"][2] == 1.0
    near(scores["recall"][2], (14 / 20) ** 2, atol=0.01)  # area ratio of the discs
    near(scores["jaccard"], scores["dice"] / (2 - scores["dice"]), atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(seeds, st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_scores_agree_with_sklearn(seed, density, rate):
    g = np.random.default_rng(seed)
    p, t = g.random((12, 12)) < rate, g.random((12, 12)) < density
    s = {k: v.item() for k, v in scores_from_counts(confusion(p[None], t[None])).items()}
    args, skip = (t.ravel(), p.ravel()), dict(zero_division=0)
    lung = dict(precision=precision_score, recall=recall_score, dice=f1_score)
    for key, theirs in (lung | dict(jaccard=jaccard_score)).items():
        near(s[key], theirs(*args, **skip), atol=1e-5)
    near(s["specificity"], recall_score(*args, pos_label=False, **skip), atol=1e-5)
    for key, theirs in zip(("precision_macro", "recall_macro", "f1_macro"), lung.values()):
        near(s[key], theirs(*args, average="macro", **skip), atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(seeds, st.floats(0.1, 0.9))
def test_counts_agree_with_torchmetrics(seed, threshold):
    g = np.random.default_rng(seed)
    p, t = g.random((3, 8, 9), np.float32), g.random((3, 8, 9)) < 0.4
    theirs = binary_stat_scores(
        torch.tensor(p), torch.tensor(t).int(), threshold, multidim_average="samplewise"
    ).numpy()
    same(confusion(p, t, threshold), theirs[:, [0, 1, 3, 2]])


def binned(scores, truth, bins=2048):
    auc, bound = auc_from_histogram(score_histogram(scores, truth, bins, logits=True))
    return auc.item(), bound.item()


def test_auc_of_a_disc():
    target = disc(32, 32, 20)[None]
    z = np.random.default_rng(0).normal(size=target.shape) + 2 * target
    auc, bound = binned(z, target)
    assert abs(auc - roc_auc_score(target.ravel(), z.ravel())) <= bound < 1e-3


@pytest.mark.parametrize("value", [0, 1])
def test_a_single_class_has_no_roc_curve(value):
    p = np.random.default_rng(0).random((1, 8, 8))
    hist = score_histogram(p, np.full((1, 8, 8), value))
    assert np.isnan(auc_from_histogram(hist)[0]).all()
    assert np.isnan(segmentation_scores(p, np.full((1, 8, 8), value))["auc"]).all()


@settings(deadline=None, max_examples=40)
@given(seeds, st.sampled_from([8, 64, 2048]), st.floats(0, 3))
def test_the_bound_of_the_auc_holds(seed, bins, shift):
    g = np.random.default_rng(seed)
    truth = g.random((1, 16, 16)) < 0.4
    scores = (g.normal(size=(1, 16, 16)) + shift * truth).astype(np.float32)
    auc, bound = binned(scores, truth, bins)
    assert abs(auc - roc_auc_score(truth.ravel(), scores.ravel())) <= bound + 1e-9


# Streaming


def test_batches_do_not_matter():
    cases, ids = fake_cases(12), [f"case-{i:02}" for i in range(12)]
    whole = Evaluation().update(*cases, ids=ids, mm_per_px=0.7)
    ev = Evaluation()
    for batch in np.split(np.arange(12), 3):
        ev.update(*(c[batch] for c in cases), ids=ids[batch[0] : batch[-1] + 1], mm_per_px=0.7)
    pd.testing.assert_frame_equal(ev.per_image(), whole.per_image())
    same(ev.histogram, whole.histogram)
    parts = [Evaluation().update(*(c[k] for c in cases)) for k in np.split(np.arange(12), 2)]
    same(parts[0].merge(parts[1]).histogram, whole.histogram)
    same(Evaluation().merge(whole).histogram, whole.histogram)
    exact = [roc_auc_score(t.ravel(), p.ravel()) for p, t in zip(cases[2], cases[3])]
    near(whole.per_image().auc, exact, atol=1e-4)
    dice = [f1_score(t.ravel(), p.ravel() > 0.5) for p, t in zip(cases[2], cases[3])]
    near(whole.compute()["dice"], np.mean(dice), atol=1e-5)


def test_tensors_are_evaluated_as_arrays_are():
    cases = fake_cases(5)
    known = np.array([True, False, True, True, True])
    arrays = Evaluation().update(*cases, mm_per_px=np.full(5, 0.7), has_mask=known)
    tensors = [torch.tensor(c) for c in cases]
    tensors[2] = tensors[2][:, None].requires_grad_()
    mm = torch.full((5,), 0.7, dtype=torch.float64)
    ours = Evaluation().update(*tensors, mm_per_px=mm, has_mask=torch.tensor(known))
    pd.testing.assert_frame_equal(ours.per_image(), arrays.per_image())
    scores = segmentation_scores(tensors[2], tensors[3])
    assert tuple(scores) == SCORES
    for key, value in segmentation_scores(cases[2], cases[3]).items():
        assert isinstance(scores[key], np.ndarray)
        same(scores[key], value)


def test_evaluation_rejects():
    with pytest.raises(ValueError, match="nothing to evaluate"):
        Evaluation().per_image()
    with pytest.raises(ValueError, match="1 ids for 12 images"):
        Evaluation().update(*fake_cases(12, 16), ids=["a"])
    with pytest.raises(ValueError, match="points, masks or both"):
        Evaluation().update(ids=[1])


def test_memory_does_not_depend_on_the_image_size():
    sizes = {}
    for side in (64, 512):
        two = Evaluation()
        for seed in range(2):
            two.update(*fake_cases(2, side, seed))
        sizes[side] = sum(r.memory_usage(deep=False).sum() for r in two.rows)
    assert sizes[64] == sizes[512]
    # a full test set of 134 images costs less than one 512-px mask in floats
    assert two.histogram.nbytes + 134 * sizes[512] / 4 < 512 * 512 * 4


def test_what_is_unknown_stays_out_of_the_figures_but_is_counted():
    p, t, m, k = fake_cases(3)
    t[0, 1], p[1, 0] = nan, nan
    got = Evaluation().update(p, t, m, k, has_mask=[True, False, True]).compute()
    counted = [got[key] for key in ("points", "points_unknown", "points_missed", "masks")]
    assert counted == [5, 1, 1, 2]
    assert got["right_R"] == 100 * 2 / 3  # the point not found is a miss
    assert np.isnan(got["error_mm_mean"]) and np.isfinite(got["error_px_mean"])
    assert "dice" not in Evaluation().update(p, t).compute()
    nothing = Evaluation().update(p, t * nan).compute()
    assert nothing["points"] == 0 and np.isnan(nothing["both_R"])


# Comparisons


def test_signed_rank_by_hand():
    r = signed_rank([1.0, 2, 3, 4, 0, 6], [0.0, 0, 0, 0, 5, 0])
    assert (r["pairs"], r["ties"]) == (6, 0)
    ties = dict(pairs=2, ties=2, p=1.0, effect=0.0)  # nothing but ties
    assert signed_rank([3.0, nan, 7], [3.0, 1, 7]) == ties
    assert signed_rank([np.inf, 5], [np.inf, 4])["ties"] == 1  # both missed
    assert np.isnan(signed_rank([nan], [1.0])["p"])  # no pair, no answer
    with pytest.raises(ValueError, match="same test images"):
        signed_rank([1.0, 2], [1.0])


@settings(deadline=None, max_examples=25)
@given(seeds, st.floats(-0.5, 0.5), st.sampled_from(["wilcox", "pratt", "zsplit"]))
def test_signed_rank_agrees_with_scipy(seed, shift, zero_method):
    g = np.random.default_rng(seed)
    a = np.round(g.rayleigh(6, 60), 1)
    b = np.round(a + g.normal(shift, 1, 60), 1)
    ours, back = signed_rank(a, b, zero_method), signed_rank(b, a, zero_method)
    near(ours["p"], stats.wilcoxon(np.round(a - b, 6), zero_method=zero_method).pvalue, atol=1e-5)
    near((back["p"], back["effect"]), (ours["p"], -ours["effect"]), atol=1e-5)  # the sign alone


def test_holm():
    near(holm([0.02, nan, 0.005]), [0.02, nan, 0.01])  # a family of two
    assert holm([0.6, 0.9]).tolist() == [1.0, 1]


def test_every_pair_of_configurations():
    g = np.random.default_rng(1)
    base = g.rayleigh(6, (134, 2))
    smaller = base * 0.9 + g.normal(0, 0.5, base.shape)
    pairs = wilcoxon_pairs(dict(A=base, B=smaller, C=base + g.normal(0, 0.5, base.shape)))
    both = pairs.query("lung == 'both'")
    assert both.better.tolist() == ["B", None, "B"]
    assert both.pairs.unique().tolist() == [268]
    assert (pairs.p_holm >= pairs.p).all()
    with pytest.raises(ValueError, match="at least two"):
        wilcoxon_pairs(dict(A=base))


# Intervals


def test_bootstrap_of_equal_patients_is_students_interval():
    g, who = np.random.default_rng(0), np.repeat(np.arange(30), 5)
    x = 0.95 + 0.02 * (g.normal(size=30)[who] + g.normal(size=150)) / 2**0.5
    mid, low, high = bootstrap_interval(x, who, repeats=20000)
    means = x.reshape(30, 5).mean(1)
    near(mid, x.mean(), atol=1e-12)
    student = stats.t.ppf(0.975, 29) * means.std(ddof=1) / 30**0.5
    near((high - low) / 2, student, rtol=0, atol=5e-4)


def test_bootstrap_of_ten_is_not_too_narrow():
    "A sample's own deviation is (n - 1) / n too small, which among ten patients shows."
    x = stats.norm.ppf((np.arange(10) + 0.5) / 10)
    _, low, high = bootstrap_interval(x, repeats=200_000)
    student = stats.t.ppf(0.975, 9) * x.std(ddof=1) / 10**0.5
    near((high - low) / 2, student, rtol=0.02, atol=0)


def test_bootstrap_of_an_accuracy():
    patients = [f"p{i // 2}" for i in range(12)]
    ev = Evaluation().update(*fake_cases(12))
    hits = (ev.per_image()[["right_px", "left_px"]] < 10).astype(float) * 100
    mean, low, high = bootstrap_interval(hits, patients)
    assert mean == ev.compute()["both_R/10"]
    assert low < mean < high


def test_bootstrap_of_little():
    assert bootstrap_interval([1.0, nan, 3])[0] == 2.0
    assert np.isnan(bootstrap_interval([nan])[0])
    for nothing in ([], np.zeros((0, 3)), np.full((3, 2), nan)):
        assert np.isnan(bootstrap_interval(nothing)).all()
    assert np.isnan(bootstrap_interval([], [])).all()
    assert np.isnan(bootstrap_interval([1.0, 2], ["a", "a"])[1])
    with pytest.raises(ValueError, match="known patients"):
        bootstrap_interval([1.0, 2], ["a", None])


def test_limits_of_agreement():
    r = bland_altman([3.0, 5, 4, nan], [2.0, 3, 1, 0])  # differences 1, 2, 3: mean 2, sd 1
    half = stats.t.ppf(0.975, 2) * (1 / 3 + stats.norm.ppf(0.975) ** 2 / 4) ** 0.5
    near(r.limit_half, half, atol=1e-5)
    g = np.random.default_rng(0)
    reader = g.normal(20, 12, 120)
    model = reader + g.normal(1.5, 3, 120)
    r = bland_altman(model, reader)
    inside = ((model - reader > r.lower) & (model - reader < r.upper)).mean()
    assert 0.9 < inside <= 1 and abs(r.bias - 1.5) < r.bias_half * 1.5
    assert abs(r.upper - (1.5 + 1.96 * 3)) < 1.5 * r.limit_half
    student = stats.ttest_1samp(model - reader, 0).confidence_interval()
    near(student.high - r.bias, r.bias_half, atol=1e-5)
    with pytest.raises(ValueError, match="at least 3 pairs"):
        bland_altman([1.0, 2], [1.0, 2])
    ax = plot_bland_altman(model, reader, unit="mm")
    assert ax.get_xlabel() == "mean of the two (mm)" and len(ax.texts) == 3


def test_scores_of_a_single_pixel():
    found = {k: float(v) for k, v in _class_scores(*map(np.array, (1, 0, 0))).items()}
    assert found == dict(dice=1, jaccard=1, precision=1, recall=1)
    found = {k: float(v) for k, v in _class_scores(*map(np.array, (0, 1, 0))).items()}
    assert found == dict(dice=0, jaccard=0, precision=0, recall=0)


@pytest.mark.parametrize("p, better", [(0.049, "b"), (0.05, None)])
def test_a_p_of_exactly_alpha_is_no_evidence(p, better):
    row = pd.DataFrame(dict(a=["a"], b=["b"], effect=[0.5]))
    assert _better([p], row, 0.05).tolist() == [better]
