"The stages of Vidal et al. on invented results whose truth is known."

import matplotlib

matplotlib.use("Agg")

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from hemidiaphragm_nb.brain_mri import brain_state_shapes
from hemidiaphragm_nb.networks import weights_hash
from hemidiaphragm_nb.published import VIDAL_SCORES, published
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.runs import Results
from hemidiaphragm_nb.store import Store
from hemidiaphragm_nb.transfer import (
    _GAINS,
    _STAGE_2,
    AFTER,
    BEFORE,
    SIZES,
    _artifact_table,
    _draw_fraction,
    _gain,
    _heads_table,
    _most_changed,
    _plot_before_after,
    _running_losses,
    _stage_tables,
    _tables_beside,
    adopt_brain,
    gain_table,
    image_runs,
    learning_curve,
    stage_images,
    transfer_answer,
    transfer_plan,
    transfer_report,
)

PLAN = transfer_plan()


def invented(
    group: str = "held_out", repeats: int = 2, flip: bool = False, few: float = 0.0
) -> Results:
    """The runs of the small plan: common radiographs bring 0.1 of Dice, gliomas nothing, or where
    `flip`, 0.05 with a sign that changes from repeat to repeat. A fifth of the portable radiographs
    costs `few`.
    """
    rng, runs, cases, history = np.random.default_rng(0), [], [], []
    for run in image_runs(PLAN):
        if run.repeat >= repeats:
            continue
        label = dict(analysis="transfer", name=run.name, repeat=run.repeat)
        more = 0.1 * ("common" in run.name)
        more -= few * run.name.endswith("20%")
        more += 0.05 * flip * (-1) ** run.repeat * run.name.startswith("MRI → portable")
        runs.append(
            label | dict(subset=run.subset, fraction=run.fraction, arch=run.recipe.arch, images=20)
        )
        base = np.random.default_rng(run.repeat).uniform(0.7, 0.8, 20)
        table = pd.DataFrame({k: base + more for k in set(VIDAL_SCORES.values())})
        table = table.assign(
            id=[f"{i:02d}" for i in range(20)],
            patient_id=[f"p{i // 2}" for i in range(20)],
            group=["test"] * 4 + [group] * 16,
            extra=rng.integers(0, 2, 20),
            bridge=0,
            right_px=rng.lognormal(2, 1, 20),
            left_px=rng.lognormal(2, 1, 20),
        )
        cases.append(table.assign(**label))
        epochs = 6 if run.repeat == 0 else 4
        losses = {
            f"{p}_loss": 0.9 ** np.arange(epochs) * (1 + run.repeat) for p in ("train", "valid")
        }
        history.append(pd.DataFrame(dict(epoch=range(epochs)) | losses).assign(**label))
    return Results(pd.DataFrame(runs), pd.concat(cases), pd.concat(history), pd.DataFrame())


@pytest.fixture(scope="module")
def results() -> Results:
    return invented()


def test_plan_has_every_route_once():
    assert len(PLAN) == 2 * (1 + 2 + 2 * 4 + 2)
    assert len({r.key for r in PLAN}) == len(PLAN)
    assert [len(transfer_plan(scale=s)) for s in SIZES] == [26, 3 * 21, 25 * 21]
    last = next(r for r in PLAN if r.name == AFTER)
    chain = [last.start.name, last.start.start.name, last.start.start.start]
    assert chain == ["MRI → common", "MRI", None]
    assert (last.recipe.width, transfer_plan(scale="full").runs[-3].recipe.width) == (8, 32)


def test_adopted_weights_are_stage_0(tmp_path):
    torch.manual_seed(3)
    shapes = brain_state_shapes()
    state = {n: torch.rand(s) if s else torch.tensor(5) for n, s in shapes.items()}
    save_file(state, tmp_path / "brain.safetensors")
    store = Store(tmp_path / "store")
    run = adopt_brain(store, tmp_path / "brain.safetensors", recipe("vidal", side=64))
    assert run in store
    assert adopt_brain(store, tmp_path / "brain.safetensors", recipe("vidal", side=64)) == run
    assert weights_hash(store.model(run).net) == run.data.fingerprint
    assert transfer_plan(brain=run).runs[0] == run
    narrow = recipe("vidal", side=64, width=8)
    with pytest.raises(ValueError, match="misshapen"):
        adopt_brain(store, tmp_path / "brain.safetensors", narrow)


def test_results_that_call_the_group_kept_are_read():
    old, new = invented("kept"), invented("held_out")
    assert len(stage_images(old, AFTER)) == len(stage_images(new, AFTER)) == 2 * 16
    assert len(stage_images(old, AFTER, "test")) == 2 * 4
    pd.testing.assert_frame_equal(gain_table(old), gain_table(new))


def test_tables_are_over_repeats(results):
    ours = _stage_tables(results)
    assert list(ours.columns) == list(published("vidal2021_tables1-4").columns)
    means = stage_images(results, AFTER).groupby("repeat")["dice"].mean()
    row = _tables_beside(results, "phantom").loc[(4, "phantom", "ours")]
    assert row["dice"] == f"{means.mean():.4f} ± {means.std(ddof=0):.4f}" and row["n"] == 2
    paper = _tables_beside(results).loc[(4, "COVID-19", "paper")]
    assert (paper["dice"], paper["n"]) == ("0.9447 ± 0.0241", 25)


def test_one_repeat_has_no_spread():
    row = _tables_beside(invented(repeats=1)).loc[(4, "COVID-19", "ours")]
    assert "±" not in row["dice"] and row["n"] == 1


def test_losses_know_how_many_runs_go_on(results):
    losses = _running_losses(results, AFTER)
    assert losses["runs"].tolist() == [2, 2, 2, 2, 1, 1]
    assert losses["train"].iloc[0] == pytest.approx(1.5) and losses["valid_sd"].iloc[-1] == 0


def test_bars_are_the_means(results):
    ax = _plot_before_after(results)
    after = next(c for c in ax.containers if c.get_label() == "after")
    means = stage_images(results, AFTER)[list(VIDAL_SCORES.values())].mean()
    assert [bar.get_height() for bar in after] == pytest.approx(means.tolist())


def test_most_changed_has_the_most_artifacts_first(results):
    cases = pd.DataFrame(
        {
            "id": list("abcd") * 2,
            "name": [BEFORE] * 4 + [AFTER] * 4,
            "group": "held_out",
            "repeat": 0,
            "extra": [0, 3, 0, 0] + [0] * 4,
            "bridge": [0, 0, 0, 1] + [0] * 4,
            "dice": [0.9] * 4 + [0.9, 0.9, 0.5, 0.9],
        }
    )
    made = replace(results, cases=cases)
    assert _most_changed(made, n=3) == ["b", "d", "c"]
    assert _artifact_table(made)["extra pieces a radiograph"].tolist() == [0.75, 0]


def test_gains_are_what_was_put_in(results):
    gains = gain_table(results).set_index(["question", "fraction"])
    assert len(gains) == 2 * (len(_STAGE_2) + len(_GAINS))
    for fraction in (0.2, 1.0):
        both, brain = (
            gains.loc[("both stages", fraction)],
            gains.loc[("MRI, then portable", fraction)],
        )
        assert both[["gain", "low", "high"]].tolist() == pytest.approx([0.1] * 3)
        assert both["by_repeat"] == pytest.approx((0.1, 0.1)) and both["radiographs"] == 16
        assert brain[["gain", "p"]].tolist() == pytest.approx([0, 1])
    nothing = _gain(results, AFTER, AFTER)
    assert [nothing["gain"], nothing["p"]] == [0, 1]


def test_a_gain_that_changes_sign_is_not_a_finding():
    flipped = invented(flip=True)
    means = stage_images(flipped, "MRI → portable, 20%").groupby("repeat")["dice"].mean()
    base = stage_images(flipped, "scratch → portable, 20%").groupby("repeat")["dice"].mean()
    assert np.sign(means - base).tolist() == [1, -1]
    lines = transfer_answer(flipped).splitlines()
    brain = next(line for line in lines if line.startswith("MRI, then portable, 20%"))
    assert "helps" not in brain and "harms" not in brain and "+0.050, -0.050" in brain
    common = next(line for line in lines if line.startswith("common radiographs, then"))
    assert ": helps; Dice" in common


def test_stage_2_may_harm_where_radiographs_are_few():
    results = invented(few=0.02)
    table = gain_table(results)
    gains = table.set_index(["question", "fraction"])["gain"]
    for question in _STAGE_2:
        assert gains[question].to_dict() == pytest.approx({0.2: -0.02, 1.0: 0.0})
    assert gains["both stages"].tolist() == pytest.approx([0.1, 0.1])  # alike in both routes
    lines = transfer_answer(results).splitlines()
    found = [line.split(": ")[1].split(";")[0] for line in lines if "(before / after)" in line]
    assert found == ["harms", "harms", "no difference shown", "no difference shown"]
    fig = _draw_fraction(learning_curve(results), table, 0.2)
    assert fig.axes[1].get_title() == "stage 2: MRI → common -0.020, common -0.020"


def test_learning_curve(results):
    curve, gains = learning_curve(results), gain_table(results)
    assert (len(curve), set(curve["fraction"])) == (2 + 2 * 4, {0.0, 0.2, 1.0})
    scratch = curve.query("route == 'scratch' and fraction == 0.2")["dice"].item()
    both = gains.query("question == 'both stages' and fraction == 0.2")
    assert scratch == pytest.approx(both["dice_without"].item())
    titles = [_draw_fraction(curve, gains, s).get_suptitle() for s in (0.0, 0.2, 1.0)]
    assert titles[0].startswith("0% of") and titles[1].startswith("20% of the portable radiographs")
    assert len(set(titles)) == 3
    with pytest.raises(ValueError, match="no fraction 0.5"):
        _draw_fraction(curve, gains, 0.5)


def test_two_heads(results):
    own = stage_images(results, "scratch → two heads")[["right_px", "left_px"]].to_numpy()
    table = _heads_table(results)
    assert table.loc["scratch", "R/5 (%)"] == pytest.approx(100 * (own < 20).mean())


def test_report(results):
    report = transfer_report(results, "phantom")
    tables = {k for k, v in report.items() if isinstance(v, pd.DataFrame)}
    assert tables == {"tables1-4", "gains", "learning_curve", "artifacts", "two_heads"}
    assert len(report["answer"].splitlines()) == len(report["gains"]) + 2
