"A run that takes its process down at every start, and a pool that cannot start at all."

import subprocess
import sys
from dataclasses import replace

import pytest

from hemidiaphragm_nb.plan import DataSpec, Plan, Run
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.store import Store

TINY = recipe(side=64, width=4, depth=2, epochs=1, batch=4, precision="fp32")
RUN = Run("toy", "alive", 0, DataSpec("phantom", n=10), TINY)
DEADLY = """
import os
from hemidiaphragm_nb import execute
usual = execute.execute
def deadly(run, *args):
    if run.name == "deadly":
        os._exit(3)
    return usual(run, *args)
execute.execute = deadly
"""


def run_in_a_script(folder, plan: Plan, guard="__name__ == '__main__'", top="") -> list[str]:
    "The status of each run of a plan, by a script over two processes."
    plan.save(folder / "plan.json")
    (folder / "deadly.py").write_text(DEADLY)
    (folder / "main.py").write_text(f"""
import sys
{top}
sys.path.insert(0, {str(folder)!r})
import deadly
from hemidiaphragm_nb.plan import Plan
from hemidiaphragm_nb.workers import run_plan
if {guard}:
    plan = Plan.load({str(folder / "plan.json")!r})
    options = dict(workers=2, progress=False, device="cpu")
    print(run_plan(plan, {str(folder / "store")!r}, **options)["status"].tolist())
""")
    command = [sys.executable, folder / "main.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return eval(done.stdout)


@pytest.mark.extra
def test_a_run_that_kills_its_process_at_every_start_is_given_up(tmp_path):
    "Five workers die or are ended with it; the other runs are none the worse."
    others = (RUN, replace(RUN, repeat=1))
    plan = Plan("deadly", (others[0], replace(RUN, name="deadly", repeat=2), others[1]))
    status = run_in_a_script(tmp_path, plan)
    assert status == ["done", "failed", "done"]
    assert "3 processes died in epoch 1" in Store(tmp_path / "store").error(plan.runs[1])


@pytest.mark.extra
def test_a_pool_that_cannot_start_leaves_the_work_to_this_process(tmp_path):
    "A script without a guard starts itself in each worker, which Python rejects."
    plan = Plan("unguarded", (RUN, replace(RUN, repeat=1)))
    top = "import multiprocessing\nif multiprocessing.parent_process(): raise SystemExit(1)"
    assert run_in_a_script(tmp_path, plan, "True", top) == ["done", "done"]


SLOW_START = """
import os, sys, time
from hemidiaphragm_nb.workers import process_pool

class Slow:
    "Read at once by the first process, in three seconds by the others."
    def __setstate__(self, state):
        try:
            os.mkdir(state["folder"])
        except FileExistsError:
            time.sleep(3)

if __name__ == "__main__":
    slow = Slow()
    slow.folder = sys.argv[1]
    with process_pool(2, {"slow": slow, "frames": bytes(2_000_000)}) as pool:
        dead = pool.submit(os._exit, 3)
        try:
            pool.submit(abs, -1)  # starts the second process; meanwhile the first one dies
        except Exception as error:
            print(type(error).__name__)
        print(type(dead.exception()).__name__)
"""


def test_a_worker_that_dies_while_another_starts_ends_the_pool(tmp_path):
    "It waited for ever for the one that was starting."
    (tmp_path / "main.py").write_text(SLOW_START)
    command = [sys.executable, tmp_path / "main.py", tmp_path / "first"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.stdout.split()[-1] == "BrokenProcessPool", done.stderr
