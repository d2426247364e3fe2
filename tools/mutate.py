"""Mutation testing of notebooks: change exported code a little, and see whether the cells below it notice.

`python tools/mutate.py [--sample 60] [--seed 0] [NOTEBOOK ...]` writes `results/mutation/report.csv` and `README.md`.
A notebook runs once, cell by cell, in one process. Before an exported cell that process forks for each mutant of the
cell; the child runs the mutated cell and those after it, and an exception is a kill. `why.csv` explains survivors.
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

import pandas as pd
from common import NOTEBOOKS, ROOT

RESULTS = ROOT / "results/mutation"
FRAME = "Frame size corner _affine _mapped to_frame to_image _window inside _check image mask unmask _blocks shrink shrink_labels"
WARPS = "affine waves bend warp_points sampling_grid warp_images warp_masks reread_domes carry"
TARGETS = {"03_heatmaps": "", "04_losses": "", "07_metrics": "", "00_radiograph": FRAME, "05_augment": WARPS}  # functions; '': all
FACTOR, MEMORY = 4, 8 << 30  # a mutant may take this many times the notebook's own processor time, and bytes of address space
SWAPS = {"Add": "Sub", "Sub": "Add", "Mult": "Div", "Div": "Mult", "FloorDiv": "Mult", "Mod": "Mult", "Pow": "Mult", "BitAnd": "BitOr", "BitOr": "BitAnd",
         "And": "Or", "Or": "And", "Lt": "LtE Gt", "LtE": "Lt", "Gt": "GtE Lt", "GtE": "Gt", "Eq": "NotEq", "NotEq": "Eq", "Is": "IsNot", "IsNot": "Is",
         "In": "NotIn", "NotIn": "In"}  # fmt: skip


def changed(node: ast.AST, **fields) -> ast.AST:
    "A copy of `node` with other `fields`."
    other = copy.copy(node)
    vars(other).update(fields)
    return other


def alternatives(node: ast.AST) -> list[ast.AST]:
    "What may stand for `node`: other operators, neighbouring numbers, arguments exchanged, signs and nots dropped."
    def swapped(op): return [getattr(ast, name)() for name in SWAPS.get(type(op).__name__, "").split()]

    match node:
        case ast.BinOp() | ast.BoolOp(): return [changed(node, op=op) for op in swapped(node.op)]
        case ast.Compare(ops=[op]): return [changed(node, ops=[other]) for other in swapped(op)]
        case ast.UnaryOp(): return [node.operand]
        case ast.Constant(value=bool(v)): return [changed(node, value=not v)]
        case ast.Constant(value=int(v)): return [changed(node, value=v + 1), changed(node, value=v - 1)]
        case ast.Constant(value=float(v)): return [changed(node, value=v * 1.1 if v else 0.1)]
        case ast.Call(args=[a, b, *more]) if ast.unparse(a) != ast.unparse(b): return [changed(node, args=[b, a, *more])]
        case ast.If() | ast.IfExp(): return [changed(node, test=ast.UnaryOp(ast.Not(), node.test))]
    return []  # fmt: skip


def working(node: ast.AST):
    "The nodes below `node` that do something: no annotations, decorators, messages of errors, or drawings."
    if isinstance(node, ast.Raise) or getattr(node, "name", None) in ("plot_bland_altman",):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list", "format_spec"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from working(child)


def mutants(cell: int, tree: ast.Module, functions: str) -> list[dict]:
    "Every mutant of a cell: where it is, what it changes, and the pair of nodes."
    made = []
    for top in tree.body:
        name = getattr(top, "name", None) or ast.unparse(getattr(top, "targets", [ast.Constant("")])[0])
        for node in working(top) if not functions or name in functions.split() else ():
            for new in alternatives(node):
                before, after = ast.unparse(getattr(node, "test", node)), ast.unparse(getattr(new, "test", new))
                made.append(dict(function=name, line=node.lineno, before=before, after=after, cell=cell, nodes=(node, ast.fix_missing_locations(new))))
    return made


def cells(notebook: str) -> list[tuple[bool, ast.Module]]:
    "The code cells that the tests run: whether each is exported, and its code."
    from IPython.core.inputtransformer2 import TransformerManager
    from nbdev.config import get_config
    from nbdev.test import nb_test_cells

    planned = nb_test_cells(NOTEBOOKS / f"{notebook}.ipynb", get_config().tst_flags.split())
    sources = [cell.source for cell in planned if cell.source.strip()]
    return [("#| export" in s, ast.parse(TransformerManager().transform_cell(s))) for s in sources]


def run(trees: list[ast.Module], names: dict) -> None:
    for tree in trees:
        exec(compile(tree, "cell", "exec"), names)


def outcome(trees: list[ast.Module], names: dict, nodes: tuple = (), seconds: int = 600) -> tuple[str, str, float]:
    "In a child: ('killed', by what), ('survived', '') or ('timeout', ''), and the processor time it took."
    out, into = os.pipe()
    if not (child := os.fork()):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.alarm(1200)
        try:
            shutil.rmtree = os.unlink = os.rmdir = lambda *args, **kwargs: None  # a scratch folder is the parent's too
            if nodes:  # the one becomes the other, wherever it stands
                nodes[0].__class__, nodes[0].__dict__ = nodes[1].__class__, vars(copy.deepcopy(nodes[1]))
            run(trees, names)
            os.write(into, b"survived\t")
        except BaseException as error:
            os.write(into, f"killed\t{type(error).__name__}: {' '.join(str(error).split())[:80]}".encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, errors="replace") as pipe:
        said, _, by = (pipe.read() or "timeout").partition("\t")
    usage = os.wait4(child, 0)[2]
    return said, by, usage.ru_utime + usage.ru_stime


def tested(notebook: str, sample: int, seed: int) -> pd.DataFrame:
    "A seeded sample of the notebook's mutants, each with what became of it."
    module = sys.modules["mutated"] = types.ModuleType("mutated")
    names, rows = vars(module), []
    names["display"] = lambda *things, **kwargs: None
    parts = cells(notebook)
    later = [tree for _, tree in parts]
    every = [mutant for i, (exported, tree) in enumerate(parts) if exported for mutant in mutants(i, tree, TARGETS[notebook])]
    chosen = random.Random(f"{notebook}:{seed}").sample(every, min(sample, len(every)))
    said, by, spent = outcome(later, names)  # the control: nothing changed
    if said != "survived":
        raise SystemExit(f"{notebook} fails unchanged: {by}")
    for i, tree in enumerate(later):
        for m in [mutant for mutant in chosen if mutant["cell"] == i]:
            said, by, took = outcome(later[i:], names, m.pop("nodes"), int(FACTOR * spent) + 10)
            rows.append(dict(notebook=notebook, possible=len(every), **m, outcome=said, by=by, seconds=round(took, 1)))
            print(f"{notebook} {len(rows)}/{len(chosen)} {m['function']}: {m['before']} -> {m['after']}: {said} {by}", flush=True)
        with contextlib.redirect_stdout(None):
            run([tree], names)
    return pd.DataFrame(rows)


def summary(report: pd.DataFrame) -> str:
    "Counts by notebook, and each survivor with its reason from why.csv."
    why = pd.read_csv(RESULTS / "why.csv").fillna("") if (RESULTS / "why.csv").exists() else pd.DataFrame(columns=["notebook", "function", "line", "before", "after"])
    count = pd.crosstab(report.notebook, report.outcome).reindex(columns=["killed", "timeout", "survived"], fill_value=0)
    count["possible"] = report.groupby("notebook").possible.first()
    left = report[report.outcome == "survived"].merge(why, "left", ["notebook", "function", "line", "before", "after"]).reindex(
        columns=["notebook", "function", "before", "after", "verdict", "reason"]).astype(object).fillna("not explained yet")  # fmt: skip
    for column in ("before", "after"):
        left[column] = "`" + left[column].str.replace("|", "\\|").str.replace("\n", " ").str.slice(0, 90) + "`"
    return (f"# Mutation run\n\n{__doc__.strip()}\n\n{count.to_markdown()}\n\nA timeout counts as noticed: the tests would hang.\n\n"
            f"## Survivors\n\n{left.to_markdown(index=False)}\n")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--sample", type=int, default=60, help="mutants a notebook")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--summary", action="store_true", help="only write README.md anew")
    asked = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    os.chdir(NOTEBOOKS)
    sys.path.insert(0, str(ROOT))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "report.csv"
    for notebook in () if asked.summary else asked.notebooks:
        made = tested(notebook, asked.sample, asked.seed)
        old = pd.read_csv(path, keep_default_na=False) if path.exists() else made
        pd.concat([old[old.notebook != notebook], made]).sort_values(["notebook", "cell", "line"], kind="stable").to_csv(path, index=False)
    (RESULTS / "README.md").write_text(summary(pd.read_csv(path, keep_default_na=False)), encoding="utf-8")


if __name__ == "__main__":
    main()
