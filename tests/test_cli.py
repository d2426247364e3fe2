"What reaches the terminal, and the options that pass on."

import errno
import os
import warnings
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import hemidiaphragm_nb.crossval
import hemidiaphragm_nb.replicate
import hemidiaphragm_nb.update_curves
import hemidiaphragm_nb.updates
from hemidiaphragm_nb import cli, hand_training
from hemidiaphragm_nb.case_checks import validate_folder
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.folders import load_frames, read_folder, write_folder
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.landmarks import split_by_patient
from hemidiaphragm_nb.options import load_split
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.plan import data_spec
from hemidiaphragm_nb.prediction_table import read_table
from hemidiaphragm_nb.problems import DatasetError
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.reports import training_overlap
from hemidiaphragm_nb.train import train


class Asked(Exception):
    "Instead of hours of training: whether failed runs are to be tried again."


def ask(*given, retry=False, **others):
    raise Asked(retry)


COMMANDS = ("replicate --analysis II", "transfer", "crossval", "ensemble")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("retry", [False, True])
def test_retry_reaches_the_plan(command, retry, tmp_path, monkeypatch):
    monkeypatch.setattr(hemidiaphragm_nb.crossval, "run_plan", ask)
    monkeypatch.setattr(hemidiaphragm_nb.replicate, "run_plan", ask)
    words = [*command.split(), "--out", str(tmp_path), *["--retry"] * retry]
    r = CliRunner().invoke(cli.app, words)
    assert isinstance(r.exception, Asked) and r.exception.args == (retry,)


@pytest.mark.parametrize("instead", ["", "ablation", "leads"])
def test_an_ablation_or_leads_take_the_place_of_the_folds(instead, tmp_path, monkeypatch):
    plans = []

    def note_plan(plan, *given, **others):
        plans.append(plan)
        raise Asked

    monkeypatch.setattr(hemidiaphragm_nb.crossval, "run_plan", note_plan)
    words = ["crossval", "--out", str(tmp_path), *[f"--{instead}"] * bool(instead)]
    assert isinstance(CliRunner().invoke(cli.app, words).exception, Asked)
    names = {run.analysis for run in plans[0]}
    expected = {"": {"crossval"}, "ablation": {"ablation"}, "leads": {"crossval", "leads"}}
    assert names == expected[instead]
    assert ("shipped recipe" in {run.name for run in plans[0]}) is (instead == "ablation")


def test_an_ablation_leaves_its_table(tmp_path, monkeypatch):
    table = pd.DataFrame({"Dice": [0.9]}, index=["half the side"])
    monkeypatch.setattr(hemidiaphragm_nb.replicate, "run_ablation", lambda *given: "cases")
    monkeypatch.setattr(hemidiaphragm_nb.replicate, "ablation_table", {"cases": table}.get)
    r = CliRunner().invoke(cli.app, ["crossval", "--ablation", "--out", str(tmp_path)])
    assert r.exit_code == 0 and "half the side" in r.output
    assert pd.read_csv(tmp_path / "ablation.csv", index_col=0)["Dice"].tolist() == [0.9]


def test_retry_forgets_the_failure_of_a_curve(tmp_path, monkeypatch):
    base = replace(hemidiaphragm_nb.update_curves.BASE, side=64, width=2)
    curve = hemidiaphragm_nb.update_curves.Curve("base", base, 20)
    failure = tmp_path / "store" / curve.key / "failed.txt"
    failure.parent.mkdir(parents=True)
    failure.write_text("killed")
    monkeypatch.setattr(hemidiaphragm_nb.update_curves, "planned_curves", lambda: [curve])
    monkeypatch.setattr(hemidiaphragm_nb.updates, "study_data", lambda *given: None)
    monkeypatch.setattr(hemidiaphragm_nb.updates, "run_on_executor", lambda *given: None)
    words = ["updates", "--data", "phantom", "--store", str(tmp_path / "store")]
    words += ["--out", str(tmp_path / "out")]
    r = CliRunner().invoke(cli.app, words)
    assert r.exit_code == 1 and "--retry tries it again" in r.output and failure.exists()
    assert CliRunner().invoke(cli.app, [*words, "--retry"]).exit_code == 0 and not failure.exists()


def test_an_error_of_the_system_is_said_in_words(monkeypatch, capsys):
    def fail():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/a\x1b[2J.png")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().err.strip()
    assert end.value.code == 2 and said == (
        "hemidiaphragm: out/a\\x1b[2J.png: No space left on device. Make room there, and call again"
    )


def test_a_warning_is_a_line_without_its_place_in_the_code(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(cli, "app", lambda: None)
    cli.main()
    line = warnings.formatwarning(UserWarning("M\x1b[2J is stale"), UserWarning, "a.py", 3)
    assert line == "warning: M\\x1b[2J is stale\n"


def test_warnings_are_counted_shown_and_tabled(tmp_path):
    grey = phantom(3, side=256).image
    for i in range(7):
        cv2.imwrite(str(tmp_path / f"turned{i}.png"), grey.T[:, : 200 + i])
    cv2.imwrite(str(tmp_path / "sound.png"), phantom(3, side=512).image)
    out = tmp_path / "out"
    r = CliRunner().invoke(cli.app, ["predict", str(tmp_path), "--seg", "--out", str(out)])
    rows = read_table(out)
    found, counts = (
        [row for row in rows if row["status"] != "ok"],
        Counter(r["status"] for r in rows),
    )
    assert r.exit_code == 0 and len(rows) == 8 and len(found) >= 7
    assert all(bool(row["warnings"]) == (row["status"] != "ok") for row in rows)
    none, doubtful = counts["no answer"], counts["warnings"]
    assert none and all(row["gap_px"] == "" for row in rows if row["status"] == "no answer")
    told = f"8 of 8 images predicted, {none} of them without an answer, {doubtful} with warnings"
    assert f"{told}; results in" in r.output and r.output.count(": no answer: ") == none
    shown = [line for line in r.output.splitlines() if line.startswith("  /")]
    assert len(shown) == 5 and f"and {len(found) - 5} more" in r.output
    for count, reason in ((8 - none, "not DICOM"), (none, "without an answer")):
        told = f"STEM_seg.dcm: nothing written for {count} of 8 images, which are {reason}"
        assert told in r.output


def test_a_dicom_without_an_answer_is_told_to_have_no_drawing(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_example(folder / "sound.dcm", phantom(3, side=256).image)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
    write_example(folder / "noise.dcm", noise)
    words = ["predict", str(folder), "--seg", "--gsps", "--sr", "--out", str(out)]
    r = CliRunner().invoke(cli.app, words)
    assert "1 of them without an answer" in r.output, r.output
    assert sorted(p.name for p in out.glob("*.dcm")) == [
        "noise_sr.dcm",
        *(f"sound_{kind}.dcm" for kind in ("gsps", "seg", "sr")),
    ]
    told = [line for line in r.output.replace("\n(such", " (such").splitlines() if "STEM_" in line]
    reason = "nothing written for 1 of 2 images, which are without an answer (such as"
    assert len(told) == 2 and all(reason in line for line in told)


@pytest.mark.parametrize(
    "names, reason",
    [
        ([], "the folder is empty"),
        (["notes.txt", ".hidden.png"], "no image among its 2 files (1 hidden, such as notes.txt)"),
    ],
)
def test_a_folder_without_images_says_why(names, reason, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"text")
    r = CliRunner().invoke(cli.app, ["predict", str(folder), "--out", str(tmp_path / "out")])
    assert r.exit_code == 1 and reason in r.output and "0 of 0 images predicted" in r.output


@pytest.mark.parametrize(
    "data", [None, {}, {"fingerprint": "f"}, {"fingerprint": "f", "cases": {}}]
)
def test_a_card_that_says_little_of_its_data(data):
    class Frames(list):
        fingerprint = "f"

        def at(self, side):
            return self

    lines = training_overlap({"data": data, "recipe": {"side": 64}}, Frames("abc"), Frames("a"))
    assert len(lines) == (1 if data and "fingerprint" in data else 0)
    assert all("some of these 3 radiographs were used in its training" in line for line in lines)


@pytest.mark.parametrize(
    "chosen, options, seen",
    [
        (range(10), ["--all"], "8 of these 10"),
        (range(9), ["--all"], "7 of these 9"),  # an image fewer
        (range(11), ["--all"], "8 of these 11"),  # one more
        ([0, 3, 10, 11], ["--all"], None),
        (range(10), [], None),  # its own test set
    ],
)
def test_radiographs_of_the_training_are_told_one_by_one(chosen, options, seen, trained_on_ten):
    model, frames = trained_on_ten
    data = model.parent / f"data of {len(chosen)} from {chosen[0]}"
    if not data.exists():
        write_folder(frames.subset(chosen), data)
    where = ["--model", model, "--data", data, "--out", model.parent / "out"]
    r = CliRunner().invoke(cli.app, ["evaluate", *map(str, where), *options])
    assert r.exit_code == 0, r.output
    lines = [line for line in r.output.splitlines() if "used in its training" in line]
    assert len(lines) == bool(seen)
    assert not seen or f"{seen} radiographs were used in its training" in lines[0]


@pytest.fixture(scope="module")
def trained_on_ten(tmp_path_factory):
    "A model trained on 8 of the first 10 phantoms of 12, without 0 and 3; and all of them."
    work, frames = tmp_path_factory.mktemp("trained"), phantom_frames(12, seed=4, side=256)
    write_folder(frames.subset(range(10)), work / "ten")
    ten = load_frames(read_folder(work / "ten"), 64, progress=False)
    split = split_by_patient(ten.table, seed=0)
    tiny = recipe("fast", side=64, width=4, epochs=1)
    train(ten, split, tiny, work / "model", progress=False, device="cpu")
    assert split["test"].tolist() == [0, 3]
    return work / "model", frames


def test_the_advice_on_a_strip_can_be_followed(tmp_path):
    grey = phantom(3, side=512).image
    cv2.imwrite(str(tmp_path / "strip.png"), grey[:, :200])
    out = str(tmp_path / "out")
    r = CliRunner().invoke(cli.app, ["predict", str(tmp_path / "strip.png"), "--out", out])
    assert r.exit_code == 1 and "(200 x 512 pixels) is beyond 2:1" in r.output
    assert "Crop the picture to the chest" in r.output and "max_aspect" not in r.output
    cv2.imwrite(str(tmp_path / "strip.png"), grey[:390, :200])  # as it says
    r = CliRunner().invoke(cli.app, ["predict", str(tmp_path / "strip.png"), "--out", out])
    assert r.exit_code == 0, r.output


@pytest.mark.parametrize("name", ["nosuch", "empty"])
def test_a_folder_of_data_is_named_once(name, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    r = CliRunner().invoke(cli.app, ["evaluate", "--data", name])
    text = str(r.exception)
    assert text.startswith(f"{name}: ") and f"{name}/{name}" not in text
    other = CliRunner().invoke(cli.app, ["train", "--data", str(tmp_path / name)])
    assert str(other.exception).startswith(f"{tmp_path / name}: ")


def test_a_model_without_a_card_is_said_in_words(tmp_path, capsys, monkeypatch):
    words = ["hemidiaphragm", "predict", "film.png", "--model", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert f"{tmp_path / 'card.json'}: No such file or directory" in said and "Errno" not in said


@pytest.mark.parametrize(
    "words",
    [
        ("check", ""),
        ("predict", "film.png", "--out", ""),
        ("predict", "film.png", "--model", ""),
        ("train", "--data", ""),
        ("transfer", "--data", ""),
        ("updates", "--data", "phantom", "--store", ""),
        ("app", "--folder", ""),
    ],
    ids=" ".join,
)
def test_an_empty_name_is_not_the_working_folder(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    r = CliRunner().invoke(cli.app, list(words))
    assert r.exit_code == 2 and "it is empty" in r.output and not any(tmp_path.iterdir())


def test_check_says_nothing_of_fonts(tmp_path):
    write_folder(phantom_frames(2, 0, 64), tmp_path / "data")
    for path in sorted((tmp_path / "data").glob("*/phantom-000000*")):
        path.rename(path.with_name(path.name.replace("phantom-000000", "患者一")))
    for path in (tmp_path / "data").glob("*.csv"):
        text = path.read_text(encoding="utf-8").replace("phantom-000000", "患者一")
        path.write_text(text, encoding="utf-8")
    words = ["check", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        r = CliRunner().invoke(cli.app, words)
    assert r.exit_code == 0 and (tmp_path / "out/oddest.png").exists()
    assert not [w for w in seen if "Glyph" in str(w.message)]


def faulty(folder, n=10, bad=3):
    """Phantoms, of which the first three have an empty mask, exchanged landmarks, and a landmark
    outside the image; their ids.
    """
    frames = phantom_frames(n, seed=1, side=64)
    frames.masks[0] = 0
    for i, change in enumerate((None, lambda p: p[::-1], lambda p: p + [[0, 0], [9999, 0]])):
        if change and i < bad:
            frames.points[i] = change(frames.points[i])
    write_folder(frames, folder)
    return list(frames.table["id"])


def test_cases_that_check_calls_errors_are_told_and_used(tmp_path, capsys):
    a, *_ = faulty(tmp_path)
    files = {p.file for p in validate_folder(tmp_path) if p.severity == "error"}
    assert len(files) == 3
    frames, split = load_split(str(tmp_path), 0, 0, skip_bad=False)
    assert len(frames) == 10 == sum(map(len, split.values()))
    [line] = capsys.readouterr().err.splitlines()
    assert f"`hemidiaphragm check {tmp_path}` finds errors in 3 of 10 cases" in line
    assert f"masks/{a}.png: is empty" in line and "--skip-bad leaves them out" in line
    load_split(str(tmp_path), 0, 0)  # `ensemble` has no such option
    [line] = capsys.readouterr().err.splitlines()
    assert f"masks/{a}.png: is empty" in line and "--skip-bad" not in line


def test_a_sound_folder_is_loaded_without_a_word(tmp_path, capsys):
    write_folder(phantom_frames(5, seed=1, side=64), tmp_path)
    for skip_bad in (False, True):
        assert len(load_split(str(tmp_path), 0, 0, skip_bad)[0]) == 5
        assert capsys.readouterr().err == ""


def test_skip_bad_leaves_out_what_check_calls_errors(tmp_path, capsys):
    "Each file is read once, the image that cannot be read too."
    names = faulty(tmp_path)
    (tmp_path / f"images/{names[5]}.png").write_bytes(b"nothing")
    frames, split = load_split(str(tmp_path), 0, 0, skip_bad=True)
    assert list(frames.table["id"]) == [*names[3:5], *names[6:]]
    assert sorted(i for rows in split.values() for i in rows) == list(range(6))
    lines = capsys.readouterr().err.splitlines()
    files = [f"{names[5]}.png", *(f"{name}.png" for name in names[:3])]
    assert len(lines) == 4 and all(line.startswith("left out: ") for line in lines)
    assert all(f"/{file}: " in line for line, file in zip(lines, files))
    assert "leaves it out" not in lines[0]  # it is left out


@pytest.mark.parametrize("words", [(), ("--skip-bad",)])
def test_train_leaves_out_what_check_calls_errors(words, tmp_path, monkeypatch):
    def train(frames, *given, **others):
        raise Asked(len(frames))

    faulty(tmp_path / "data")
    monkeypatch.setattr(hand_training, "train", train)
    options = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "model"), *words]
    r = CliRunner().invoke(cli.app, ["train", *options])
    assert str(r.exception) == ("7" if words else "10")


def test_nothing_left_is_an_error(tmp_path):
    frames = phantom_frames(2, seed=1, side=64)
    frames.masks[:] = 0
    write_folder(frames, tmp_path)
    with pytest.raises(DatasetError, match="no case without an error"):
        load_split(str(tmp_path), 0, 0, skip_bad=True)


def test_an_unreadable_image_names_the_option_of_the_command(tmp_path):
    [name, *_] = faulty(tmp_path, bad=0)
    (tmp_path / f"images/{name}.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=f"{name}.png.*--skip-bad leaves it out") as error:
        load_split(str(tmp_path), 0, 0, skip_bad=False)
    assert "skip_bad" not in str(error.value)
    for read in (data_spec, lambda path: load_split(str(path), 0, 0)):
        with pytest.raises(DatasetError, match=f"{name}.png") as error:
            read(tmp_path)  # `replicate` and its like cannot leave it out
        assert "leaves it out" not in str(error.value)
