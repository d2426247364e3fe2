"""How many updates does a setting need? Accuracy against the number of updates, one recipe a curve.

Run it again after any interruption: a finished curve is not trained again, a broken-off one goes
on from its checkpoint with the same bits. Only the training and the validation part of split 0 are
used; the test part is not.
"""

import argparse
import hashlib
import json
import multiprocessing
import time
import traceback
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from fastai.callback.schedule import combined_cos
from filelock import FileLock, Timeout

from hemidiaphragm_nb.datasets import FrameSet, load_frames, read_folder, split_by_patient
from hemidiaphragm_nb.heatmaps import DECODERS, decode
from hemidiaphragm_nb.learner import (
    FrameLoss,
    Model,
    Recipe,
    build_net,
    canonical,
    epoch_generator,
    load_checkpoint,
    lung_probability,
    make_batch,
    provenance,
    recipe,
    save_checkpoint,
    write_atomic,
)
from hemidiaphragm_nb.losses import heatmap_loss
from hemidiaphragm_nb.metrics import Evaluation

RESULTS = Path(__file__).resolve().parents[1] / "results" / "covid_cxr" / "updates"
# evaluated after these updates
MARKS = (100, 200, 400, 800, 1600, 2400, 3200, 4800, 6400, 9850, 13600, 19700, 39400, 80600)
FIGURES = [f"{lung}_{t}" for lung in ("both", "right", "left") for t in ("R", "R/2", "R/5", "R/10")]
SAVE_EVERY = 90.0  # seconds between checkpoints
SAME_PERSON = ("192", "196")  # two patients of the data that look like one


@dataclass(frozen=True)
class Curve:
    "One training: a recipe, how many updates it gets, and which question asks for it."

    question: str
    recipe: Recipe
    updates: int

    @property
    def identity(self) -> dict:
        "What decides the numbers; a flat schedule's curve does not depend on where it ends."
        settings = {k: v for k, v in canonical(self.recipe).items() if k not in ("name", "epochs")}
        planned = {} if self.recipe.schedule == "flat" else {"planned": self.updates}
        return settings | planned

    @property
    def key(self) -> str:
        "A file name: readable, and ending in six digits of the identity's SHA-256."
        r = self.recipe
        task = f"lambda{r.lam_hem:g}" if len(r.tasks) > 1 else f"{r.tasks[0]}-alone"
        schedule = r.schedule if r.schedule == "flat" else f"{r.schedule}{self.updates}"
        words = [f"beta{r.beta:g}", task, f"{r.side}px", f"batch{r.batch}", schedule, f"lr{r.lr:g}"]
        words += [f"norm-{r.norm}".lower(), r.augmentation]
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()
        return "-".join([*words, digest[:6]])


BASE = recipe(
    "fast",
    name="study of updates",
    tasks=("heatmap",),
    beta=10.0,
    side=128,
    norm="batch",
    augmentation="paper",
    batch=1,
    lr=3e-4,
    wd=0.0,
    schedule="flat",
    precision="fp32",
)


def plan() -> list[Curve]:
    "The curves, the most telling first; a recipe that comes again goes on where it stopped."
    both = dict(tasks=("heatmap", "mask"), beta=125.0)
    low = both | dict(lam_hem=0.1, lam_segm=0.9)
    middle = both | dict(lam_hem=0.3, lam_segm=0.7)
    cycle = dict(schedule="one_cycle", lr=1e-3)
    small = dict(side=64)
    # question, updates, then what differs from BASE: screened at 64 px, confirmed at 128
    wanted = [
        ("side", 4800, small),
        ("lambda_hem", 4800, small | low),
        ("batch", 1600, small | dict(batch=8)),
        ("base", 3200, {}),
        ("lambda_hem", 3200, low),
        ("augmentation", 4800, small | dict(augmentation="strong")),
        ("learning rate", 4800, small | dict(lr=1e-3)),
        ("normalisation", 4800, small | dict(norm="group")),
        ("schedule", 4800, small | cycle),
        ("beta", 3200, dict(beta=1.0)),
        ("base", 9850, {}),
        ("lambda_hem", 9850, low),
        ("side", 9850, small),
        ("lambda_hem", 9850, small | low),
        ("beta", 4800, small | dict(beta=125.0)),
        ("lambda_hem", 4800, small | middle),
        ("batch", 3200, small | dict(batch=8)),
        ("normalisation", 4800, small | dict(norm=None)),
        ("beta", 4800, small | dict(beta=50.0)),
        ("lambda_hem", 4800, small | both),
        ("learning rate", 4800, small | dict(lr=1e-4)),
        ("schedule", 4800, small | low | cycle),
        ("batch", 3200, small | dict(batch=4)),
        ("normalisation", 4800, small | dict(norm="instance")),
        ("batch", 800, dict(batch=8)),
        ("augmentation", 9850, dict(augmentation="strong")),
        ("learning rate", 9850, dict(lr=1e-3)),
        ("normalisation", 9850, dict(norm="group")),
        ("schedule", 9850, cycle),
        ("lambda_hem", 9850, middle),
        ("beta", 9850, dict(beta=125.0)),
        ("beta", 9850, dict(beta=50.0)),
        ("lambda_hem", 9850, both),
        ("normalisation", 9850, dict(norm=None)),
        ("base", 19700, {}),
        ("beta", 9850, dict(beta=1.0)),
        ("batch", 3200, dict(batch=8)),
        ("lambda_hem", 19700, low),
        ("batch", 9850, small | dict(batch=8)),
        ("side", 4800, dict(side=256)),
        ("side", 4800, dict(side=256, beta=1.0)),
        ("batch", 9850, dict(batch=4)),
        ("batch", 9850, dict(batch=8)),
        ("base", 39400, {}),
    ]
    return [Curve(question, replace(BASE, **changes), n) for question, n, changes in wanted]


@lru_cache(2)
def load(data: Path, side: int) -> tuple[FrameSet, dict]:
    "The frames and split 0. Raises: ValueError where it parts two numbers of one person."
    frames = load_frames(read_folder(data), side=side, progress=False)
    split = split_by_patient(frames.table, seed=0)
    same = np.flatnonzero(frames.table["patient_id"].isin(SAME_PERSON))
    if not any(set(same) <= set(part) for part in split.values()):
        raise ValueError(f"split 0 parts the patients {SAME_PERSON}, who look like one person")
    return frames, split


class Batches:
    "The batches that the library's `FrameLoader` makes, epoch after epoch, from any update on."

    def __init__(self, frames: FrameSet, recipe: Recipe, update: int = 0, state: str = ""):
        self.frames, self.recipe, self.update = frames, recipe, update
        self.per_epoch = len(frames) // recipe.batch
        self.start_epoch()
        if state:
            self.generator.set_state(torch.tensor(list(bytes.fromhex(state)), dtype=torch.uint8))

    def start_epoch(self):
        self.generator = epoch_generator(self.recipe.seed, self.update // self.per_epoch)
        self.order = torch.randperm(len(self.frames), generator=self.generator)

    def state(self) -> str:
        return bytes(self.generator.get_state().tolist()).hex()

    def next(self) -> tuple:
        i = self.update % self.per_epoch
        if self.update and i == 0:
            self.start_epoch()
        self.update += 1
        which = self.order[i * self.recipe.batch : (i + 1) * self.recipe.batch]
        return make_batch(self.frames, which, self.recipe, self.generator)


def set_rate(optimiser: torch.optim.Optimizer, curve: Curve, update: int):
    "The learning rate (and momentum) of fastai's one-cycle schedule; flat: nothing to do."
    if curve.recipe.schedule == "one_cycle":
        lr, done = curve.recipe.lr, update / curve.updates
        group = optimiser.param_groups[0]
        group["lr"] = combined_cos(0.25, lr / 25, lr, lr / 1e5)(done)
        group["betas"] = (combined_cos(0.25, 0.9, 0.8, 0.9)(done), 0.999)


def evaluate_part(net: torch.nn.Module, recipe: Recipe, frames: FrameSet) -> dict:
    "Accuracies in percent, median errors in px of the 512-px frame, heatmap loss, Dice."
    out = Model(net, recipe).predict(frames.images)
    target = make_batch(frames, torch.arange(len(frames)), recipe)[1]
    masks = (None, None)
    if out.mask is not None:
        masks = lung_probability(out.mask, frames.side), frames.masks > 0
    evaluation = Evaluation()
    evaluation.update(out.points, frames.points, *masks, has_mask=frames.has_mask)
    figures, errors = evaluation.compute(), evaluation.per_image()
    row = {k: figures[k] for k in FIGURES} | {"median_px": figures["error_px_median"]}
    row |= {f"{side}_median_px": errors[f"{side}_px"].median() for side in ("right", "left")}
    for name in DECODERS:
        points = decode(out.heat, name, beta=recipe.beta, shared=recipe.shared)
        near = (points - frames.points).norm(dim=-1) < 10
        row[f"both_R/10_{name}"] = 100 * near.float().mean().item()
    row |= {"heatmap_loss": heatmap_loss(out.heat, target).item(), "dice": figures.get("dice")}
    return {k: v if v is None else float(f"{v:.6g}") for k, v in row.items()}


def one_update(
    net: torch.nn.Module, loss: FrameLoss, optimiser, batch: tuple, clip: float
) -> float:
    "Forward, backward, step; returns the loss."
    x, *targets = batch
    value = loss(net(x), *targets)
    optimiser.zero_grad()
    value.backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimiser.step()
    return value.item()


def description(curve: Curve, frames: FrameSet, split: dict, state: dict, origin: dict) -> dict:
    "Everything that is exported of a curve."
    recipe, rows, done = curve.recipe, state["rows"], state["update"]
    ids = {k: frames.table["id"].iloc[split[k]].tolist() for k in ("train", "valid")}
    return {
        "key": curve.key,
        "question": curve.question,
        "complete": done >= curve.updates,
        "updates": done,
        "updates_planned": curve.updates,
        "updates_an_epoch": len(ids["train"]) // recipe.batch,
        "recipe": {k: v for k, v in canonical(recipe).items() if k != "epochs"},
        "data": {
            "fingerprint": frames.fingerprint,
            "split": 0,
            "images": {k: len(v) for k, v in ids.items()},
            "split_sha256": hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16],
        },
        "evaluated": "valid: all; train: its first images, as many; not augmented; test: never",
        "threads": 1,
        "seconds": round(state["seconds"], 1),
        "cpu_seconds": round(state["cpu_seconds"], 1),
        **origin,
        "curve": rows,
    }


def export(results: Path, note: dict):
    "Write a curve, unless a longer one is there already, and gather all of them in updates.csv."
    path = results / "runs" / f"{note['key']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and len(json.loads(path.read_text())["curve"]) > len(note["curve"]):
        return
    head = json.dumps({k: v for k, v in note.items() if k != "curve"}, indent=1)
    lines = ",\n  ".join(json.dumps(row) for row in note["curve"])
    text = f'{head[:-2]},\n "curve": [\n  {lines}\n ]\n}}\n'
    write_atomic(path, lambda p: p.write_text(text, encoding="utf-8"))
    write_atomic(results / "updates.csv", lambda p: collect(results).to_csv(p, index=False))


def collect(results: Path = RESULTS) -> pd.DataFrame:
    "One row a curve, mark and part, with the settings that are varied."
    varied = "tasks beta lam_hem side batch schedule lr norm augmentation seed".split()
    rows = []
    for path in sorted((results / "runs").glob("*.json")):
        note = json.loads(path.read_text(encoding="utf-8"))
        head = {k: note[k] for k in ("key", "question")} | {k: note["recipe"][k] for k in varied}
        head |= {"tasks": "+".join(head["tasks"]), "norm": head["norm"] or "none"}
        head |= {k: note[k] for k in ("updates_planned", "complete")}
        rows += [head | row for row in note["curve"]]
    return pd.DataFrame(rows)


def finished(results: Path, curve: Curve) -> bool:
    "Whether the exported curve reaches as far as planned."
    path = results / "runs" / f"{curve.key}.json"
    return path.exists() and json.loads(path.read_text())["updates"] >= curve.updates


def train_curve(curve: Curve, data: Path, store: Path, results: Path, origin: dict):
    "Train a curve to its end from wherever its checkpoint stands, evaluating at the marks."
    r = curve.recipe
    frames, split = load(data, r.side)
    train, valid = (frames.subset(split[k]) for k in ("train", "valid"))
    parts = {"valid": valid, "train": train.subset(np.arange(min(len(valid), len(train))))}
    net, loss = build_net(r), FrameLoss(r)
    optimiser = torch.optim.AdamW(net.parameters(), r.lr, weight_decay=r.wd)
    learn = SimpleNamespace(model=net, loss_func=loss, opt=SimpleNamespace(opt=optimiser))
    checkpoint = store / curve.key / "checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = {"update": 0, "rows": [], "generator": ""}
    state |= {"seconds": 0.0, "cpu_seconds": 0.0, "sum": 0.0, "count": 0}
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, learn)[1]
    batches = Batches(train, r, state["update"], state["generator"])
    marks = sorted({m for m in MARKS if m < curve.updates} | {curve.updates})
    wall, cpu, saved = time.perf_counter(), time.process_time(), time.perf_counter()
    net.train()
    while state["update"] < curve.updates:
        set_rate(optimiser, curve, state["update"])
        state["sum"] += one_update(net, loss, optimiser, batches.next(), r.clip)
        state["update"], state["count"] = state["update"] + 1, state["count"] + 1
        at_mark = state["update"] in marks
        if at_mark:
            done = {"update": state["update"], "images_seen": state["update"] * r.batch}
            done |= {"loss_since_last": float(f"{state['sum'] / state['count']:.6g}")}
            for name, part in parts.items():
                state["rows"].append(done | {"part": name} | evaluate_part(net, r, part))
            state["sum"], state["count"] = 0.0, 0
            net.train()
        if at_mark or time.perf_counter() - saved > SAVE_EVERY:
            saved, now = time.perf_counter(), time.process_time()
            state["seconds"], wall = state["seconds"] + saved - wall, saved
            state["cpu_seconds"], cpu = state["cpu_seconds"] + now - cpu, now
            save_checkpoint(checkpoint, learn, {}, state | {"generator": batches.state()})
        if at_mark:
            export(results, description(curve, frames, split, state, origin))
            figures = f"{state['update']} updates, R/10 {state['rows'][-2]['both_R/10']} %"
            print(time.strftime("%H:%M:%S"), curve.key, figures, flush=True)


def work(curves: list[Curve], data: Path, store: Path, results: Path, origin: dict):
    "Take the curves in turn; skip those that are finished, failed, or held by another worker."
    torch.set_num_threads(1)
    todo = list(curves)
    while todo:
        for curve in list(todo):
            failed = store / curve.key / "failed.txt"
            if finished(results, curve) or failed.exists():
                todo.remove(curve)
                continue
            (store / curve.key).mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(store / curve.key / "lock", timeout=0):
                    train_curve(curve, data, store, results, origin)
            except Timeout:
                continue
            except Exception:
                failed.write_text(traceback.format_exc())
            break
        else:
            time.sleep(5)


def run(curves: list[Curve], data: Path, store: Path, results: Path = RESULTS, workers: int = 2):
    "Keep `workers` processes of one thread at work; one that is killed is started again."
    context, arguments = (
        multiprocessing.get_context("spawn"),
        (curves, data, store, results, provenance()),
    )
    pool, starts = [], 0
    while True:
        lost = [p for p in pool if p.exitcode]
        if not pool or lost and starts < 20 * workers:
            pool = [p for p in pool if p not in lost]
            pool += [context.Process(target=work, args=arguments) for _ in lost or range(workers)]
            for process in pool[-(len(lost) or workers) :]:
                process.start()
                starts += 1
        if not any(p.is_alive() for p in pool):
            return
        time.sleep(5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with images, masks and landmarks")
    parser.add_argument("--store", type=Path, help="folder for checkpoints, outside the repository")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the curves")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--list", action="store_true", help="show what is done and open, and stop")
    options = parser.parse_args()
    if options.list:
        for curve in plan():
            word = "done" if finished(options.results, curve) else "open"
            print(word, f"{curve.updates:6}", curve.question, curve.key)
    elif options.data and options.store:
        run(plan(), options.data, options.store, options.results, options.workers)
    else:
        parser.error("name --data and --store")


if __name__ == "__main__":
    main()
