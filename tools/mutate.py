"""Mutation testing: change exported code a little; do the cells below it, or its tests, notice?

`python -m tools.mutate [--sample 25] [--seed 0] [--again] [NOTEBOOK ...]` writes `report.csv` and
`README.md` to `results/mutation`. A notebook runs once, cell by cell, in one process. Before an
exported cell that process forks for each mutant of the cell; the child runs the mutated cell and
those after it, and an exception means that the notebook noticed. What it does not notice is written
into a copy of the working tree, where pytest runs `tests/test_<module>.py`, if there is one.

A mutant that the report has already is not tried again, so that a run that was stopped goes on
with the next notebook; `--again` tries those again that nothing had noticed. `why.csv` says of
survivors why they are equivalent, or what they would change.
"""

import argparse
import ast
import contextlib
import copy
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import types
from pathlib import Path

import cv2
import pandas as pd
from hypothesis import settings
from IPython.core.inputtransformer2 import TransformerManager
from nbdev.config import get_config
from nbdev.test import nb_test_cells

from tools.project import LIBRARY, NOTEBOOKS, ROOT, CommandFailed, copy_tree, python

RESULTS = ROOT / "results/mutation"
TARGETS = {  # the notebooks, and the functions to change where not all
    "engine/cases": "",
    "02_landmarks": "",
    "engine/dicom_source": "",
    "engine/dicom_header": "",
    "engine/dicom_grey": "",
    "17_measure": "",
    "engine/store": "",
    "15_predict": "",
    "engine/checks": "",
    "engine/dicom_reader": "",
    "engine/dicom": "",
    "16_validate": "",
    "00_radiograph": "",
    "03_heatmaps": "",
    "07_metrics": "",
    "05_augment": "",
    "04_losses": "",
}
ALSO = {  # tests that stand with those of the module that uses it; tried first
    "dicom_grey": ["dicom_reader"],
    "dicom_header": ["dicom_reader"],
    "dicom_source": ["dicom"],
}
WHOLE = {"engine/store"}  # about deleting: each mutant runs all cells, on files of its own
FACTOR = 4  # a mutant may take this many times the notebook's own processor time
MEMORY = 8 << 30  # bytes of address space
WALL = 600  # seconds that a mutant may take, however little of the processor it gets
KEYS = ["notebook", "cell", "function", "line", "column", "before", "after"]  # of a mutant
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
    """What may stand for `node`: other operators, neighbouring numbers, arguments exchanged, signs,
    nots, fallbacks and statements dropped."""

    def swapped(op):
        return [getattr(ast, name)() for name in SWAPS.get(type(op).__name__, "").split()]

    match node:
        case ast.BoolOp():  # the other operator, and without what follows the first
            return [changed(node, op=op) for op in swapped(node.op)] + node.values[:1]
        case ast.BinOp():
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
            return [changed(node, value=other) for other in ([1.1 * v, -v] if v else [0.1])]
        case ast.Call(func=ast.Name(id="min" | "max")):
            return []  # in any order
        case ast.Call(args=[a, b, *more]) if ast.unparse(a) != ast.unparse(b):
            return [changed(node, args=[b, a, *more])]
        case ast.Expr(value=ast.Call()) | ast.Assign(targets=[ast.Attribute()]):
            return [ast.copy_location(ast.Pass(), node)]
        case ast.If() | ast.IfExp():
            return [changed(node, test=ast.UnaryOp(ast.Not(), node.test))]
    return []


def working(node: ast.AST):
    "The nodes below `node` that do something: no annotations, decorators, errors' messages, plots."
    if isinstance(node, ast.Raise) or str(getattr(node, "name", "")).startswith("plot_"):
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


def mutants(cell: dict, functions: str) -> list[dict]:
    "Every mutant of a cell: where it is, what it changes, and the pair of nodes."
    tops = {defined_name(top): top for top in cell["tree"].body}
    return [
        dict(
            cell=cell["id"],
            function=name,
            line=node.lineno,
            column=node.col_offset,
            before=ast.unparse(getattr(node, "test", node)),
            after=ast.unparse(getattr(new, "test", new)),
            nodes=(node, ast.fix_missing_locations(new)),
        )
        for name, top in tops.items()
        if not functions or name in functions.split()
        for node in working(top)
        for new in alternatives(node)
    ]


def cells(notebook: str) -> list[dict]:
    "The code cells that the tests run: their ids, whether each is exported, and its code."
    flags = get_config(ROOT).tst_flags
    planned = nb_test_cells(NOTEBOOKS / f"{notebook}.ipynb", flags.split())
    plain = TransformerManager().transform_cell
    return [
        dict(id=cell.id, exported="#| export" in cell.source, tree=ast.parse(plain(cell.source)))
        for cell in planned
        if cell.source.strip()
    ]


def run(trees: list[ast.Module], names: dict) -> None:
    for tree in trees:
        exec(compile(tree, "cell", "exec"), names)


def exchange(nodes: tuple) -> None:
    "Let the first of two nodes become the second."
    old, new = nodes
    old.__class__, old.__dict__ = new.__class__, vars(copy.deepcopy(new))


def threads() -> int:
    "Of this process. One that has several cannot be forked: the child would lack the others."
    return len(os.listdir("/proc/self/task"))


def _control(trees: list[ast.Module], names: dict) -> str:
    "In a child: run the cells; after how many of them the process had one thread."
    alone = []
    for i, tree in enumerate(trees):
        run([tree], names)
        alone += [i + 1] if threads() == 1 else []
    return f"survived\t{' '.join(map(str, alone))}"


def _mutated_run(trees: list[ast.Module], names: dict, nodes: tuple) -> str:
    "In a child: run the cells after the first of `nodes` has become the second."
    if not names["whole"]:  # a folder is the parent's
        shutil.rmtree = os.unlink = os.rmdir = lambda *args, **kwargs: None
    try:
        if not nodes:
            return _control(trees, names)
        exchange(nodes)
        run(trees, names)
        return "survived\t"
    except BaseException as error:
        said = re.sub(rf"{tempfile.gettempdir()}/\w+", "FOLDER", " ".join(str(error).split()))
        said = said.replace(str(ROOT), "ROOT")
        return f"notebook\t{type(error).__name__}: {said[:80]}"


def outcome(
    trees: list[ast.Module], names: dict, nodes: tuple = (), seconds: int = WALL
) -> tuple[str, str, float]:
    "('notebook', how), ('survived', '') or ('timeout', ''), and the processor time it took."
    out, into = os.pipe()
    if not (child := os.fork()):
        try:
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(WALL)
            os.write(into, _mutated_run(trees, names, nodes).encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, errors="replace") as pipe:
        ending, _, by = (pipe.read() or "timeout").partition("\t")
    usage = os.wait4(child, 0)[2]
    return ending, by, usage.ru_utime + usage.ru_stime


class Tests:
    "The tests of a module in a copy of the working tree, where the module may be changed."

    def __init__(self, notebook: str):
        name = re.sub(r"^\d+_", "", Path(notebook).name)
        self.module, self.tree = LIBRARY / f"{name}.py", None
        files = [f"tests/test_{module}.py" for module in [*ALSO.get(name, []), name]]
        self.files = [file for file in files if (ROOT / file).exists()]

    def _pytest(self, limit: float) -> str:
        "'' where they pass, else the first that does not."
        options = ["-x", "-q", "-rfE", "--no-header", "-p", "no:cacheprovider"]
        try:
            where = dict(cwd=self.tree, PYTHONPATH=str(self.tree))
            python("-m", "pytest", *options, *self.files, limit=limit, **where)
        except CommandFailed as failed:
            found = re.findall(r"^(?:FAILED|ERROR) \S+?::(\S+)", str(failed), re.M)
            return found[0] if found else str(failed).splitlines()[-1][:80]
        return ""

    def notice(self, cell: dict) -> str:
        "Which test fails where the module holds `cell` as it now is; '' where none does."
        if not self.files:
            return ""
        if self.tree is None:
            self.tree = Path(tempfile.mkdtemp(prefix="mutate-"))
            copy_tree(self.tree)
            start = time.monotonic()
            if failed := self._pytest(WALL):
                raise SystemExit(f"{self.files} fail unchanged: {failed}")
            self.limit = FACTOR * (time.monotonic() - start) + 30
        source = self.module.read_text(encoding="utf-8")
        mark = re.search(rf"^# %% \S+ #{cell['id']}\n", source, re.M)
        end = source.find("\n# %% ", mark.end())
        rest = source[end:] if end >= 0 else "\n"
        mutated = source[: mark.end()] + ast.unparse(cell["tree"]) + "\n" + rest
        (self.tree / self.module.relative_to(ROOT)).write_text(mutated, encoding="utf-8")
        return self._pytest(self.limit)

    def close(self) -> None:
        if self.tree:
            shutil.rmtree(self.tree)


def sampled(notebook: str, parts: list[dict], sample: int, seed: int) -> tuple[list[dict], int]:
    "A seeded sample of the notebook's mutants, and how many there are."
    functions = TARGETS.get(notebook, "")
    every = [
        mutant | {"notebook": notebook}
        for part in parts
        if part["exported"]
        for mutant in mutants(part, functions)
    ]
    if missing := set(functions.split()) - {mutant["function"] for mutant in every}:
        raise SystemExit(f"{notebook} exports nothing to change in {sorted(missing)}")
    chosen = random.Random(f"{notebook}:{seed}").sample(every, min(sample, len(every)))
    return chosen, len(every)


def key(mutant) -> tuple:
    "What tells a mutant from all others."
    return tuple(str(mutant[name]) for name in KEYS)


def tried(parts: list[dict], i: int, mutant: dict, names: dict, limit: int, tests: Tests) -> dict:
    "What became of a mutant of the cell that stands after those that this process has run."
    nodes, trees = mutant["nodes"], [part["tree"] for part in parts[i:]]
    ending, by, took = outcome(trees, names, nodes, limit)
    if ending == "survived":
        part = next(part for part in parts if part["id"] == mutant["cell"])
        old = nodes[0].__class__, nodes[0].__dict__
        exchange(nodes)
        by = tests.notice(part)
        nodes[0].__class__, nodes[0].__dict__ = old
        ending = "tests" if by else "survived"
    return dict(outcome=ending, by=by, seconds=round(took, 1))


def tested(notebook: str, parts: list[dict], todo: list[dict]) -> list[dict]:
    "The mutants of `todo`, each with what became of it."
    os.chdir((NOTEBOOKS / notebook).parent)
    module = sys.modules["mutated"] = types.ModuleType("mutated")
    names, rows, start, tests = vars(module), [], time.monotonic(), Tests(notebook)
    names["whole"] = notebook in WHOLE
    names["display"] = lambda *things, **kwargs: None
    ending, by, spent = outcome([part["tree"] for part in parts], names)  # nothing changed
    if ending != "survived":
        raise SystemExit(f"{notebook} fails unchanged: {by}")
    alone, limit, done = [0, *map(int, by.split())], int(FACTOR * spent) + 10, 0
    alone = [0] if notebook in WHOLE else alone
    print(
        f"{notebook}: {spent:.0f} s a run; {len(alone) - 1} of {len(parts)} cells leave one thread"
    )
    for i, part in enumerate(parts):
        for mutant in [mutant for mutant in todo if mutant["cell"] == part["id"]]:
            while done < max(n for n in alone if n <= i):
                with contextlib.redirect_stdout(None):
                    run([parts[done]["tree"]], names)
                done += 1
            row = tried(parts, done, mutant, names, limit, tests)
            rows.append({k: v for k, v in mutant.items() if k != "nodes"} | row)
            change = f"{mutant['function']}: {mutant['before']} -> {mutant['after']}"
            print(f"{notebook} {len(rows)}/{len(todo)} {change}: {row}", flush=True)
    tests.close()
    print(f"{notebook}: {len(rows)} mutants in {time.monotonic() - start:.0f} s", flush=True)
    return rows


def updated(report: pd.DataFrame, notebook: str, sample: int, seed: int, again: bool):
    "The report with the notebook's sample in it: what it has already is not tried again."
    parts = cells(notebook)
    chosen, possible = sampled(notebook, parts, sample, seed)
    known = {key(row): row for row in report.to_dict("records") if row["notebook"] == notebook}
    if again:
        known = {k: row for k, row in known.items() if row["outcome"] != "survived"}
    todo = [mutant for mutant in chosen if key(mutant) not in known]
    rows = [known[key(mutant)] for mutant in chosen if key(mutant) in known]
    rows += tested(notebook, parts, todo) if todo else []
    order = {part["id"]: i for i, part in enumerate(parts)}
    rows.sort(key=lambda row: (order[row["cell"]], int(row["line"]), int(row["column"])))
    made = pd.DataFrame(rows).assign(possible=possible)
    columns = [*KEYS, "outcome", "by", "seconds", "possible"]
    return pd.concat([report[report.notebook != notebook], made], ignore_index=True)[columns]


def explained(report: pd.DataFrame, folder: Path) -> pd.DataFrame:
    "The report's survivors, each with its verdict and reason from why.csv."
    keys = [name for name in KEYS if name != "cell"]
    path = folder / "why.csv"
    columns = [*keys, "verdict", "reason"]
    why = pd.read_csv(path, dtype=str) if path.exists() else pd.DataFrame(columns=columns)
    left = report[report.outcome == "survived"].astype({name: str for name in keys})
    left = left.merge(why.astype(str), "left", keys)
    return left.fillna({"verdict": "not explained", "reason": ""})


def summary(report: pd.DataFrame, folder: Path) -> str:
    "Counts by notebook, and each survivor with its reason."
    outcomes = ["notebook", "tests", "timeout", "survived"]
    count = pd.crosstab(report.notebook, report.outcome).reindex(columns=outcomes, fill_value=0)
    left = explained(report, folder)
    same = left[left.verdict == "equivalent"].groupby("notebook").size()
    count["equivalent"] = same.reindex(count.index, fill_value=0)
    noticed = count[outcomes[:3]].sum(axis=1)
    tried = count[outcomes].sum(axis=1)
    count["noticed (%)"] = (100 * noticed / (tried - count["equivalent"])).round(1)
    count["tried"] = tried
    count["possible"] = report.groupby("notebook").possible.first()
    for column in ("before", "after"):
        code = left[column].str.replace("|", "\\|").str.replace("\n", " ").str.slice(0, 90)
        left[column] = "`" + code + "`"
    missing = [notebook for notebook in TARGETS if notebook not in count.index]
    shown = left[["notebook", "function", "before", "after", "verdict", "reason"]]
    parts = [
        f"# Mutation run\n\n{__doc__.strip()}",
        count.to_markdown(),
        "Columns: noticed by the notebook's own cells, by the tests of its module, by never coming"
        " to an end; noticed by none; of these, those that change nothing that can be observed,"
        " which the percentage leaves out; how many were drawn of how many. A survivor's verdict is"
        " `equivalent`, or `tuning`: a number that was chosen and might be another."
        " Checks were written for survivors of this very sample, and for some mutants because they"
        " were drawn: its percentage tells that they are noticed now, and is no estimate for those"
        " that were not drawn. Another `--seed` gives one.",
        f"Targets that this run left out: {', '.join(missing) or 'none'}.",
        f"## Survivors\n\n{shown.to_markdown(index=False)}",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--sample", type=int, default=25, help="mutants a notebook")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="try survivors again")
    parser.add_argument("--summary", action="store_true", help="only write README.md again")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the report")
    asked = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "HEMIDIAPHRAGM_DATA": ""}
    cv2.setNumThreads(1)
    settings.register_profile("mutate", database=None)  # no mutant sees another's examples
    settings.load_profile("mutate")
    out = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    path = out / "report.csv"
    columns = [*KEYS, "outcome", "by", "seconds", "possible"]
    empty = pd.DataFrame(columns=columns)
    report = pd.read_csv(path, keep_default_na=False) if path.exists() else empty
    for notebook in () if asked.summary else asked.notebooks:
        report = updated(report, notebook, asked.sample, asked.seed, asked.again)
        report.to_csv(path, index=False)
    (out / "README.md").write_text(summary(report, out), encoding="utf-8")


if __name__ == "__main__":
    main()
