"""Mutation testing of notebooks: change exported code a little; do the cells below it notice?

`python -m tools.mutate [--sample 60] [--seed 0] [NOTEBOOK ...]` writes `report.csv` and `README.md`
to `results/mutation`. A notebook runs once, cell by cell, in one process. Before an exported cell
that process forks for each mutant of the cell; the child runs the mutated cell and those after it,
and an exception is a kill. `why.csv` explains survivors.
"""

import argparse
import ast
import contextlib
import copy
import os
import random
import resource
import shutil
import signal
import sys
import types
from pathlib import Path

import pandas as pd
from IPython.core.inputtransformer2 import TransformerManager
from nbdev.config import get_config
from nbdev.test import nb_test_cells

from tools.project import NOTEBOOKS, ROOT

RESULTS = ROOT / "results/mutation"
WARPS = "affine waves bend warp_points sampling_grid warp_images warp_masks reread_domes carry"
TARGETS = {  # the notebooks, and the functions to change where not all
    "00_radiograph": "",
    "03_heatmaps": "",
    "04_losses": "",
    "05_augment": WARPS,
    "07_metrics": "",
}
FACTOR = 4  # a mutant may take this many times the notebook's own processor time
MEMORY = 8 << 30  # bytes of address space
SWAPS = {
    "Add": "Sub",
    "Sub": "Add",
    "Mult": "Div",
    "Div": "Mult",
    "FloorDiv": "Mult",
    "Mod": "Mult",
    "Pow": "Mult",
    "BitAnd": "BitOr",
    "BitOr": "BitAnd",
    "And": "Or",
    "Or": "And",
    "Lt": "LtE Gt",
    "LtE": "Lt",
    "Gt": "GtE Lt",
    "GtE": "Gt",
    "Eq": "NotEq",
    "NotEq": "Eq",
    "Is": "IsNot",
    "IsNot": "Is",
    "In": "NotIn",
    "NotIn": "In",
}


def changed(node: ast.AST, **fields) -> ast.AST:
    "A copy of `node` with other `fields`."
    other = copy.copy(node)
    vars(other).update(fields)
    return other


def alternatives(node: ast.AST) -> list[ast.AST]:
    """What may stand for `node`: other operators, neighbouring numbers, arguments exchanged, signs
    and nots dropped."""

    def swapped(op):
        return [getattr(ast, name)() for name in SWAPS.get(type(op).__name__, "").split()]

    match node:
        case ast.BinOp() | ast.BoolOp():
            return [changed(node, op=op) for op in swapped(node.op)]
        case ast.Compare(ops=[op]):
            return [changed(node, ops=[other]) for other in swapped(op)]
        case ast.UnaryOp():
            return [node.operand]
        case ast.Constant(value=bool(v)):
            return [changed(node, value=not v)]
        case ast.Constant(value=int(v)):
            return [changed(node, value=v + 1), changed(node, value=v - 1)]
        case ast.Constant(value=float(v)):
            return [changed(node, value=v * 1.1 if v else 0.1)]
        case ast.Call(args=[a, b, *more]) if ast.unparse(a) != ast.unparse(b):
            return [changed(node, args=[b, a, *more])]
        case ast.If() | ast.IfExp():
            return [changed(node, test=ast.UnaryOp(ast.Not(), node.test))]
    return []


def working(node: ast.AST):
    "The nodes below `node` that do something: no annotations, decorators, errors' messages, plots."
    if isinstance(node, ast.Raise) or getattr(node, "name", "").startswith("plot_"):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list", "format_spec"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from working(child)


def defined_name(top: ast.stmt) -> str:
    "What a statement defines: a function, a class, or the first target of an assignment."
    first = getattr(top, "targets", [ast.Constant("")])[0]
    return getattr(top, "name", None) or ast.unparse(first)


def mutants(cell: int, tree: ast.Module, functions: str) -> list[dict]:
    "Every mutant of a cell: where it is, what it changes, and the pair of nodes."
    tops = {defined_name(top): top for top in tree.body}
    return [
        dict(
            function=name,
            line=node.lineno,
            before=ast.unparse(getattr(node, "test", node)),
            after=ast.unparse(getattr(new, "test", new)),
            cell=cell,
            nodes=(node, ast.fix_missing_locations(new)),
        )
        for name, top in tops.items()
        if not functions or name in functions.split()
        for node in working(top)
        for new in alternatives(node)
    ]


def cells(notebook: str) -> list[tuple[bool, ast.Module]]:
    "The code cells that the tests run: whether each is exported, and its code."
    flags = get_config(ROOT).tst_flags
    planned = nb_test_cells(NOTEBOOKS / f"{notebook}.ipynb", flags.split())
    sources = [cell.source for cell in planned if cell.source.strip()]
    plain = TransformerManager().transform_cell
    return [("#| export" in source, ast.parse(plain(source))) for source in sources]


def run(trees: list[ast.Module], names: dict) -> None:
    for tree in trees:
        exec(compile(tree, "cell", "exec"), names)


def _mutated_run(trees: list[ast.Module], names: dict, nodes: tuple) -> str:
    "In a child: run the cells after the first of `nodes` has become the second."
    shutil.rmtree = os.unlink = os.rmdir = lambda *args, **kwargs: None  # a folder is the parent's
    try:
        if nodes:
            old, new = nodes
            old.__class__, old.__dict__ = new.__class__, vars(copy.deepcopy(new))
        run(trees, names)
        return "survived\t"
    except BaseException as error:
        return f"killed\t{type(error).__name__}: {' '.join(str(error).split())[:80]}"


def outcome(
    trees: list[ast.Module], names: dict, nodes: tuple = (), seconds: int = 600
) -> tuple[str, str, float]:
    "('killed', by what), ('survived', '') or ('timeout', ''), and the processor time it took."
    out, into = os.pipe()
    if not (child := os.fork()):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(1200)
            os.write(into, _mutated_run(trees, names, nodes).encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, errors="replace") as pipe:
        ending, _, by = (pipe.read() or "timeout").partition("\t")
    usage = os.wait4(child, 0)[2]
    return ending, by, usage.ru_utime + usage.ru_stime


def sampled(notebook: str, parts: list, sample: int, seed: int) -> tuple[list[dict], int]:
    "A seeded sample of the notebook's mutants, and how many there are."
    functions = TARGETS.get(notebook, "")
    every = [
        mutant
        for i, (exported, tree) in enumerate(parts)
        if exported
        for mutant in mutants(i, tree, functions)
    ]
    if missing := set(functions.split()) - {mutant["function"] for mutant in every}:
        raise SystemExit(f"{notebook} exports nothing to change in {sorted(missing)}")
    chosen = random.Random(f"{notebook}:{seed}").sample(every, min(sample, len(every)))
    return chosen, len(every)


def tested(notebook: str, sample: int, seed: int) -> pd.DataFrame:
    "A seeded sample of the notebook's mutants, each with what became of it."
    module = sys.modules["mutated"] = types.ModuleType("mutated")
    names, rows = vars(module), []
    names["display"] = lambda *things, **kwargs: None
    parts = cells(notebook)
    trees = [tree for _, tree in parts]
    chosen, possible = sampled(notebook, parts, sample, seed)
    ending, by, spent = outcome(trees, names)  # the control: nothing changed
    if ending != "survived":
        raise SystemExit(f"{notebook} fails unchanged: {by}")
    for i, tree in enumerate(trees):
        for mutant in [mutant for mutant in chosen if mutant["cell"] == i]:
            limit = int(FACTOR * spent) + 10
            ending, by, took = outcome(trees[i:], names, mutant.pop("nodes"), limit)
            row = dict(notebook=notebook, possible=possible, **mutant)
            rows.append(row | dict(outcome=ending, by=by, seconds=round(took, 1)))
            change = f"{mutant['function']}: {mutant['before']} -> {mutant['after']}"
            print(f"{notebook} {len(rows)}/{len(chosen)} {change}: {ending} {by}", flush=True)
        with contextlib.redirect_stdout(None):
            run([tree], names)
    return pd.DataFrame(rows)


def explained(survivors: pd.DataFrame, folder: Path) -> pd.DataFrame:
    "The survivors, each with its verdict and reason from why.csv."
    keys = ["notebook", "function", "line", "before", "after"]
    shown = ["notebook", "function", "before", "after", "verdict", "reason"]
    path = folder / "why.csv"
    why = pd.read_csv(path).fillna("") if path.exists() else pd.DataFrame(columns=keys)
    left = survivors.merge(why, "left", keys).reindex(columns=shown)
    left = left.astype(object).fillna("not explained yet")
    for column in ("before", "after"):
        code = left[column].str.replace("|", "\\|").str.replace("\n", " ").str.slice(0, 90)
        left[column] = "`" + code + "`"
    return left


def summary(report: pd.DataFrame, folder: Path) -> str:
    "Counts by notebook, and each survivor with its reason."
    outcomes = ["killed", "timeout", "survived"]
    count = pd.crosstab(report.notebook, report.outcome).reindex(columns=outcomes, fill_value=0)
    count["possible"] = report.groupby("notebook").possible.first()
    left = explained(report[report.outcome == "survived"], folder)
    parts = [
        f"# Mutation run\n\n{__doc__.strip()}",
        count.to_markdown(),
        "A timeout counts as noticed: the tests would hang.",
        f"## Survivors\n\n{left.to_markdown(index=False)}",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--sample", type=int, default=60, help="mutants a notebook")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--summary", action="store_true", help="only write README.md again")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the report")
    asked = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    os.chdir(NOTEBOOKS)
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / "report.csv"
    for notebook in () if asked.summary else asked.notebooks:
        made = tested(notebook, asked.sample, asked.seed)
        old = pd.read_csv(path, keep_default_na=False) if path.exists() else made
        report = pd.concat([old[old.notebook != notebook], made])
        report = report.sort_values(["notebook", "cell", "line"], kind="stable")
        report.to_csv(path, index=False)
    report = pd.read_csv(path, keep_default_na=False)
    (asked.out / "README.md").write_text(summary(report, asked.out), encoding="utf-8")


if __name__ == "__main__":
    main()
