"Training beyond what notebook 08 shows: single tasks, early stops, transfers, interruptions, bits."

import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from typer.testing import CliRunner

from hemidiaphragm_nb import checkpoint, hand_training
from hemidiaphragm_nb.checkpoint import checkpoint_rows
from hemidiaphragm_nb.cli import app
from hemidiaphragm_nb.evaluate import evaluate
from hemidiaphragm_nb.files import DIGESTS, torn_files
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.heatmaps import decode
from hemidiaphragm_nb.landmarks import split_by_patient
from hemidiaphragm_nb.networks import TorchPredictor, weights_hash
from hemidiaphragm_nb.placement import TestTime, test_time_of
from hemidiaphragm_nb.precision import choose_device
from hemidiaphragm_nb.pretrained import imagenet_state
from hemidiaphragm_nb.recipes import RecipeError, recipe
from hemidiaphragm_nb.train import make_learner, train
from hemidiaphragm_nb.training_pictures import TrainingPictures

TINY = recipe(side=64, width=4, epochs=4, precision="fp32")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    "Sums are taken in another order with another number of threads."
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def frames():
    return phantom_frames(32, seed=1, side=64)


@pytest.fixture(scope="module")
def split(frames):
    return split_by_patient(frames.table, seed=0)


@pytest.fixture(scope="module")
def trained(frames, split):
    return train(frames, split, TINY, progress=False, device="cpu")


def again(frames, split, settings, **options):
    return train(frames, split, settings, progress=False, device="cpu", **options)


def learner(frames, settings):
    return make_learner(frames.to("cpu"), frames.to("cpu"), settings)


def test_the_same_seed_gives_the_same_bits(frames, split, trained):
    assert weights_hash(again(frames, split, TINY).net) == weights_hash(trained.net)
    other = again(frames, split, replace(TINY, seed=1))
    assert weights_hash(other.net) != weights_hash(trained.net)


def test_a_learner_of_each_kind(frames):
    "Columns follow the tasks; learned weights are trained too; `lite` starts from ImageNet."
    assert len(learner(frames, replace(TINY, tasks=("mask",))).metrics) == 1
    names = [metric.name for metric in learner(frames, TINY).metrics]
    assert names == ["Dice", "R/5", "R/10"]
    learned = learner(frames, replace(TINY, weighting="learned"))
    learned.create_opt()
    loss = {id(p) for p in learned.loss_func.parameters()}
    assert loss and loss <= {id(p) for p in learned.opt.all_params().itemgot(0)}
    weight = learner(frames, recipe("lite", side=64, width=4)).model.encoder[0][1].weight
    published = imagenet_state()["_conv_stem.weight"].sum(1, keepdim=True) * (0.25 * 255 / 128)
    assert weight.detach().allclose(published)


def test_a_run_without_progress_stops(frames, split, tmp_path):
    "A rate too small to change a weight: a patience of two ends the run after three epochs."
    idle = replace(TINY, lr=1e-30, wd=0.0, norm=None, schedule="flat", epochs=12)
    idle = replace(idle, patience=2, keep="best")
    stopped = again(frames, split, idle, out=tmp_path / "idle")
    assert len(pd.read_csv(tmp_path / "idle/history.csv")) == stopped.card["epochs"] == 3


def test_a_training_that_starts_elsewhere(frames, split, trained, tmp_path):
    short = replace(TINY, epochs=1)
    onward = again(frames, split, short, start=trained, out=tmp_path / "onward")
    afresh = again(frames, split, short)
    assert onward.card["start"] == weights_hash(trained.net)
    losses = [model.card["last_epoch"]["valid_loss"] for model in (onward, afresh)]
    assert losses[0] < losses[1], "four epochs' lead made no difference"
    with pytest.raises(RecipeError, match="holds another run"):
        again(frames, split, short, out=tmp_path / "onward")


def test_what_starts_from_a_network_reads_as_that_does(frames, split, trained, tmp_path):
    short, how = replace(TINY, epochs=1), asdict(TestTime())
    placed = replace(trained, card=trained.card | {"test_time": how})
    onward = again(frames, split, short, start=placed, out=tmp_path / "onward")
    assert test_time_of(onward.card) == TestTime()
    assert test_time_of(TorchPredictor.load(tmp_path / "onward").card) == TestTime()
    no_lungs = replace(short, tasks=("heatmap",))
    for settings, start in ((short, trained), (short, None), (no_lungs, placed)):
        assert "test_time" not in again(frames, split, settings, start=start).card


class Interrupt(Callback):
    order = 99

    def __init__(self, after):
        self.after = after

    def after_epoch(self):
        if self.epoch + 1 == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [3, 14])
def test_a_falling_rate_survives_an_interruption(frames, tmp_path, monkeypatch, after):
    "`vidal` at a rate far too large is cut after idle epochs; a break must change nothing."
    monkeypatch.setattr(checkpoint, "CHECKPOINT_FRACTION", 1e9)  # a checkpoint after every epoch
    few = frames.subset(range(12))
    halves = split_by_patient(few.table, seed=0)
    vidal = recipe("vidal", side=64, width=2, epochs=16, lr=1.0, precision="fp32")
    whole = again(few, halves, vidal, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        again(few, halves, vidal, out=tmp_path / "broken", cbs=[Interrupt(after)])
    assert len(checkpoint_rows(tmp_path / "broken/checkpoint.safetensors")) == after
    resumed = again(few, halves, vidal, out=tmp_path / "broken")
    assert weights_hash(resumed.net) == weights_hash(whole.net)
    losses = [pd.read_csv(tmp_path / f"{name}/history.csv") for name in ("whole", "broken")]
    assert losses[0].drop(columns="seconds").equals(losses[1].drop(columns="seconds"))


def test_the_best_weights_have_the_lowest_loss(frames, split, tmp_path):
    bumpy = replace(TINY, lr=0.05, schedule="flat", epochs=5, keep="best")
    best = again(frames, split, bumpy, out=tmp_path / "bumpy")
    losses = pd.read_csv(tmp_path / "bumpy/history.csv")["valid_loss"]
    parts = [frames.subset(split[name]).to("cpu") for name in ("train", "valid")]
    learn = make_learner(*parts, bumpy)
    learn.model.load_state_dict(best.net.state_dict())
    with learn.no_bar(), learn.no_logging():
        loss = learn.validate()[0]
    assert loss == pytest.approx(losses.min(), rel=1e-4, abs=1e-5)


def test_a_saved_model_gives_the_same_outputs(frames, trained, tmp_path):
    trained.save(tmp_path)
    read = TorchPredictor.load(tmp_path)
    for name in ("heatmaps", "lungs"):
        one, two = (getattr(m.predict(frames.images[:4]), name) for m in (trained, read))
        np.testing.assert_array_equal(one, two)


def test_the_evaluation_is_what_one_computes_by_hand(frames, split, trained):
    test = frames.subset(split["test"])
    found, outputs = evaluate(test, trained), trained.predict(test.images)
    points = decode(outputs.heatmaps, "tanh", beta=TINY.beta)
    errors = np.linalg.norm(points - test.points, axis=-1)
    by_case = found.per_image("heatmap")[["right_px", "left_px"]]
    np.testing.assert_allclose(by_case, errors, atol=1e-3)
    p, t = outputs.lungs.max(1) > 0.5, test.masks > 0
    dice = 2 * (p & t).sum((1, 2)) / (p.sum((1, 2)) + t.sum((1, 2)))
    assert found.compute("heatmap")["dice"] == pytest.approx(dice.mean(), abs=1e-4)


def test_one_task_alone_needs_no_other_code(frames, split):
    alone = again(frames, split, replace(TINY, tasks=("heatmap",), epochs=1))
    outputs = alone.predict(frames.images[:2])
    assert outputs.lungs is None and outputs.heatmaps.shape == (2, 2, 64, 64)
    assert "dice" not in evaluate(frames.subset(range(4)), alone).compute("heatmap")
    shared = again(frames, split, replace(TINY, shared=True, mask_channels=1, epochs=1))
    outputs = shared.predict(frames.images[:2])
    assert outputs.heatmaps.shape[1] == outputs.lungs.shape[1] == 1
    assert "error_px_median" in evaluate(frames.subset(range(4)), shared).compute("heatmap")


def test_a_torn_file_of_a_finished_training_is_named(frames, split, tmp_path):
    short, out = replace(TINY, epochs=2), tmp_path / "model"
    first = again(frames, split, short, out=out)
    assert weights_hash(again(frames, split, short, out=out).net) == weights_hash(first.net)
    for name in ("history.csv", "weights.safetensors", "card.json"):
        data = (out / name).read_bytes()
        (out / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(
            RecipeError, match=f"{name}: absent, or not what was written.*resume=False"
        ):
            again(frames, split, short, out=out)
        (out / name).write_bytes(data)
    (out / "history.csv").write_text("half")
    fresh = again(frames, split, short, out=out, resume=False)
    assert weights_hash(fresh.net) == weights_hash(first.net) and torn_files(out) == []
    (out / DIGESTS).unlink()  # a folder of before
    (out / "history.csv").write_text("half")
    assert weights_hash(again(frames, split, short, out=out).net) == weights_hash(first.net)


def test_more_epochs_go_on_from_the_checkpoint(frames, split, tmp_path):
    "With a flat schedule as if all had been asked for at once, after a break in between, too."
    flat = replace(TINY, schedule="flat", epochs=2)
    more = replace(flat, epochs=6)
    how = dict(further=True)
    again(frames, split, flat, out=tmp_path, **how)

    class Break(Callback):
        order = 90

        def after_epoch(self):
            if self.epoch == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(frames, split, more, out=tmp_path, cbs=[Break()], **how)
    assert not (tmp_path / "card.json").exists(), "it is not finished"
    model = again(frames, split, more, out=tmp_path, **how)
    assert weights_hash(model.net) == weights_hash(again(frames, split, more).net)
    history = pd.read_csv(tmp_path / "history.csv")
    assert list(history["epoch"]) == list(range(6)) and not torn_files(tmp_path)
    with pytest.raises(RecipeError, match="holds another run"):
        again(frames, split, replace(more, epochs=8, lr=1e-5), out=tmp_path, **how)


def test_a_finished_run_without_a_checkpoint_says_how_to_go_on(frames, split, tmp_path):
    again(frames, split, TINY, out=tmp_path)
    before = (tmp_path / "card.json").read_bytes()
    with pytest.raises(RecipeError, match=f"--start {tmp_path}"):
        again(frames, split, replace(TINY, epochs=9), out=tmp_path, further=True)
    assert (tmp_path / "card.json").read_bytes() == before


def test_a_picture_that_cannot_be_written_stops_no_training(frames, split, trained, tmp_path):
    (tmp_path / "progress.png").mkdir()
    with pytest.warns(UserWarning, match="the pictures of epoch"):
        model = again(frames, split, TINY, out=tmp_path, cbs=[TrainingPictures(tmp_path)])
    assert weights_hash(model.net) == weights_hash(trained.net)


def test_sheets_of_an_older_training_go(frames, split, tmp_path):
    (tmp_path / "sheets").mkdir()
    for name in ("epoch-003.png", "epoch-077.png", "epoch-mine.png"):
        (tmp_path / "sheets" / name).write_bytes(b"old")
    again(frames, split, TINY, out=tmp_path, cbs=[TrainingPictures(tmp_path)])
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == [*(f"epoch-{i:03}.png" for i in (1, 2, 3, 4)), "epoch-mine.png"]
    assert cv2.imread(str(tmp_path / "sheets/epoch-003.png")).shape == (320, 960, 3)
    assert cv2.imread(str(tmp_path / "progress.png")).shape == (360, 900, 3)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_here(name, monkeypatch):
    for module in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(module, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device {name}: torch does not find"):
        choose_device(name)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"


def test_the_command_starts_goes_on_and_draws(tmp_path, monkeypatch):
    out, asked = tmp_path / "model", []
    true_train = hand_training.train

    def spy(*given, **how):
        asked.append(how["start"])
        return true_train(*given, **how)

    monkeypatch.setattr(hand_training, "train", spy)
    settings = "--cases 10 --side 64 --lr 1e-4 --start shipped --device cpu".split()

    def call(*words):
        return CliRunner().invoke(app, ["train", "--out", str(out), *settings, *words])

    r = call("--epochs", "1")
    assert r.exit_code == 0 and "going on" not in r.output, r.output
    card = json.loads((out / "card.json").read_text())
    assert card["recipe"]["name"] == "lite" and card["recipe"]["lr"] == 1e-4
    assert card["start"] == weights_hash(asked[0].net)
    known = asked[0].card["trained_on"]
    assert card["trained_on"]["side"] == 256
    assert set(known["images"]) < set(card["trained_on"]["images"])
    r = call("--epochs", "2", "--no-sheets")
    assert r.exit_code == 0 and f"going on after epoch 1 of 2, from {out}" in r.output, r.output
    assert json.loads((out / "card.json").read_text())["epochs"] == 2
    sheets = [path.name for path in (out / "sheets").iterdir()]
    assert sheets == ["epoch-001.png"] and (out / "progress.png").exists()
    r = call("--epochs", "2")
    assert r.exit_code == 0 and "trained for 2 epochs already" in r.output
    differs = "lr is 0.0001 there and 0.5 here"
    refused = {"--epochs 1": "with 2 epochs; ask for no fewer", "--epochs 3 --lr 0.5": differs}
    for words, reason in refused.items():
        r = call(*words.split())
        assert reason in str(r.exception) and str(r.exception).endswith(" with --fresh")
        assert "already" not in r.output and "going on" not in r.output
    r = CliRunner().invoke(app, ["train", "--out", str(out), "--start", str(tmp_path / "nowhere")])
    assert isinstance(r.exception, ValueError) and "nowhere" in str(r.exception)
