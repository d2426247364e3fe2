"A second annotator's readings and reviewed landmarks teach, and touch neither validation nor test."

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hemidiaphragm_nb.cases import LANDMARKS
from hemidiaphragm_nb.cli import app
from hemidiaphragm_nb.crossval import crossval_plan, filled, student_plan, with_labels
from hemidiaphragm_nb.evaluate import evaluate
from hemidiaphragm_nb.execute import execute, run_split
from hemidiaphragm_nb.folders import read_folder, write_folder
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.networks import weights_hash
from hemidiaphragm_nb.plan import ExperimentError, Plan, load_data
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.together_runs import run_together
from hemidiaphragm_nb.training_labels import load_lessons, training_split

SECOND = (0, 1, 2, 5, 8)  # cases that annotator b has drawn, too


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    "Twelve phantoms, of which b puts five 4 px lower, and of which two landmarks were reviewed."
    folder = write_folder(phantom_frames(12, side=64), tmp_path_factory.mktemp("data") / "twelve")
    labels = read_folder(folder)
    (folder / "masks_b").mkdir()
    for k in SECOND:
        name = f"{labels.at[k, 'id']}.png"
        (folder / "masks_b" / name).write_bytes((folder / "masks" / name).read_bytes())
    table = pd.read_csv(folder / "landmarks.csv")
    if "annotator" not in table:
        table.insert(1, "annotator", "a")
    b = table.iloc[list(SECOND)].assign(annotator="b")
    b[["right_y", "left_y"]] += 4
    pd.concat([table, b]).to_csv(folder / "landmarks.csv", index=False)
    review = labels[["id", *LANDMARKS]].assign(annotator="reviewed", right_from="", left_from="")
    review.loc[[3, 4], "left_from"], review.loc[[3, 4], "left_y"] = "prediction", 9.0
    review.to_csv(folder.parent / "landmarks_reviewed.csv", index=False)
    return folder


def plan(data):
    own = recipe(
        "fast", side=64, width=2, depth=2, epochs=1, batch=4, precision="fp32", augmentation="none"
    )
    return crossval_plan(str(data), folds=3, members=1, base=own)


def labelled(data, runs):
    return with_labels(runs, "b", data.parent / "landmarks_reviewed.csv")


def test_second_readings_of_the_training_part_are_learnt_and_of_no_other(data):
    for run in labelled(data, plan(data)):
        frames = load_data(run.data)
        split = run_split(run, frames.table)
        lessons = load_lessons(run.data, run.labels, frames)
        found = training_split(frames, lessons, split)
        for part in ("valid", "test"):  # the same cases with the labels as published
            assert list(found[part]) == list(split[part])
            same = [f.subset(split[part]).fingerprint for f in (frames, lessons)]
            assert same[0] == same[1]
        learnt, whose = lessons.table.iloc[found["train"]], lessons.table["label_of"]
        assert set(learnt["id"]) == set(frames.table["id"].iloc[split["train"]])
        assert (whose.iloc[found["train"]] == "b").sum() == sum(k in split["train"] for k in SECOND)
        reviewed = [k for k in (3, 4) if k in split["train"]]
        assert (learnt["label_of"] == "reviewed").sum() == len(reviewed)
        changed = learnt[learnt["id"].isin(frames.table["id"].iloc[reviewed])]
        assert set(changed["label_of"]) <= {"reviewed", "b"}  # nowhere beside the published one


def test_a_run_learns_from_its_labels_and_is_tested_by_the_published_ones(data, tmp_path):
    plain, more = plan(data).runs[0], labelled(data, plan(data)).runs[0]
    assert plain.key != more.key and "labels" in more.key
    frames = load_data(plain.data)
    models, files = zip(*(execute(r, frames, tmp_path / r.key) for r in (plain, more)))
    assert weights_hash(models[0].net) != weights_hash(models[1].net)
    split = run_split(more, frames.table)
    card, n = models[1].card["data"], len(split["train"])
    assert card["cases"] == {k: len(split[k]) for k in ("train", "valid", "test")}
    seconds = sum(k in split["train"] for k in SECOND)
    assert card["labels"].get("b", 0) == seconds and sum(card["labels"].values()) == n + seconds
    assert "labels" not in models[0].card["data"]
    own = evaluate(frames.subset(split["test"]), models[1]).per_image("heatmap")
    found = files[1]["cases.csv"]
    errors = [c for c in own if c.endswith("_px")]
    np.testing.assert_allclose(found[errors].to_numpy(float), own[errors].to_numpy(float))


def test_labels_that_change_nothing_teach_the_same(data, tmp_path):
    path = tmp_path / "kept.csv"
    table = pd.read_csv(data.parent / "landmarks_reviewed.csv")
    table.assign(left_from="label", right_from="").to_csv(path, index=False)
    run = plan(data).runs[0]
    same = with_labels(Plan("kept", (run,)), reviewed=path).runs[0]
    frames = load_data(run.data)
    kept = [execute(r, frames, tmp_path / r.key)[0] for r in (run, same)]
    assert weights_hash(kept[0].net) == weights_hash(kept[1].net)


def test_students_have_the_labels_and_their_teachers_the_published_ones(data, tmp_path):
    taught = labelled(data, student_plan(plan(data)))
    assert all(r.labels and not any(t.labels for t in r.teachers) for r in taught)
    one = Plan("student", taught.runs[:1])
    store = filled(Plan("teacher", taught.runs[0].teachers) + one, tmp_path)
    assert store.model(one.runs[0]).card["data"]["labels"]


def test_trainings_beside_each_other_refuse_labels(data, tmp_path):
    with pytest.raises(ExperimentError, match="learns from further labels"):
        run_together(labelled(data, plan(data)), tmp_path / "store", together=2, device="cpu")


def test_changed_labels_are_noticed(data, tmp_path):
    run = labelled(data, plan(data)).runs[0]
    other = replace(run, labels=replace(run.labels, fingerprint="0" * 16))
    with pytest.raises(ExperimentError, match="are not the plan's"):
        execute(other, load_data(run.data), tmp_path / "other")


def command(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--second", "a"], "the folder's own annotator"),
        (["--second", "nobody"], "nobody"),
        (["--reviewed", "no.csv"], "no such file"),
        (["--reviewed", "no.csv", "--ablation"], "go with the folds"),
        (["--second", "b", "--leads"], "go with the folds"),
        (["--ablation", "--leads"], "choose one"),
        (["--members", "2", "--leads"], "--members, --students and --masks go with the folds"),
        (["--students", "1", "--ablation"], "--members, --students and --masks go with the folds"),
    ],
)
def test_the_command_says_what_is_wrong_before_it_trains(data, tmp_path, words, reason):
    out = tmp_path / "out"
    found = command("crossval", "--data", data, "--scale", "quick", "--out", out, *words)
    text = f"{found.output} {found.exception}"
    assert found.exit_code and reason in text
    assert not list(out.glob("store/*/weights.safetensors"))
