"""The how-tos of the documentation, front to back, as they are written.

Sizes are cut: phantoms for radiographs, an epoch for twenty, two workers for four. `pytest -m extra
tests/test_howto.py` runs those that take minutes.
"""

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

from hemidiaphragm_nb.cli import app
from tools.project import ROOT, python, run
from tools.requirements import settings

GUIDES = ROOT / "docs/howto"
SMALL = {"--epochs 20": "--epochs 1", "epochs=3": "epochs=1", "--nworkers 4": "--nworkers 2"}
INSTALLS = re.compile(r"^(pip |git clone|python -m venv|apt-get|\. \.venv|mkdir -p incoming)")


def blocks(name: str, language: str = "") -> list[str]:
    "The blocks of a how-to in that language, cut in size."
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.+?)^```$", text, re.M | re.S)
    found = [block for kind, block in fenced if kind == language]
    for long, short in SMALL.items():
        found = [block.replace(long, short) for block in found]
    return found


def commands(name: str) -> list[str]:
    "The lines of its shell blocks that do not install."
    lines = [line for block in blocks(name) for line in block.splitlines()]
    return [line for line in lines if re.match(r"hemidiaphragm |python -c", line)]


def shell(line: str, folder: Path, limit: float = 280, **variables: str) -> str:
    "What a line prints in bash; `hemidiaphragm` and `python` are this environment's."
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return run("bash", "-c", line, limit=limit, cwd=folder, **{"PATH": path} | variables)


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory) -> Path:
    "A folder in which `my_radiographs` are phantoms."
    folder = tmp_path_factory.mktemp("howto")
    shell("hemidiaphragm phantom --n 10 --out my_radiographs", folder)
    return folder


def test_every_command_and_option_of_the_guides_is_there():
    for guide in sorted(GUIDES.glob("*.md")):
        for words in re.findall(
            r"hemidiaphragm ((?:--plugin \S+ )?[a-z]+[^`\n|]*)", guide.read_text()
        ):
            words = re.sub(r"^--plugin \S+ ", "", words.partition("  #")[0]).split()
            command = get_command(app).commands.get(words[0])
            assert command, f"{guide.name}: no command {words[0]}"
            known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            assert {w for w in words if w.startswith("--")} <= known, f"{guide.name}: {words}"


def test_quickstart_and_own_data(radiographs):
    for line in commands("quickstart"):
        shell(line, radiographs)
    assert (radiographs / "results/report.html").exists()
    assert len(list((radiographs / "results").glob("*_overlay.png"))) == 3
    told = "".join(
        shell(line, radiographs) for line in commands("own_data") if "evaluate" not in line
    )
    assert "0 errors" in told


@pytest.mark.extra
def test_fine_tune_leaves_tables_that_can_be_paired(radiographs):
    for line in commands("fine_tune"):
        shell(line.replace(" images/ ", " my_radiographs/images/ "), radiographs)
    ids = [
        {
            row.partition(",")[0]
            for row in (radiographs / f"{n}/test_cases.csv").open().readlines()[1:]
        }
        for n in ("before", "after")
    ]
    assert len(ids[0]) == 10 and ids[1] < ids[0] and ids[1]


@pytest.mark.extra
def test_own_network(radiographs):
    file, use = blocks("own_network", "python")
    (radiographs / "two_layers.py").write_text(file)
    for line in commands("own_network"):
        shell(line, radiographs)
    (radiographs / "use.py").write_text(use)
    paths = os.pathsep.join((str(ROOT), str(radiographs)))
    assert "(1, 2, 64, 64)" in shell("python use.py", radiographs, PYTHONPATH=paths)
    with pytest.raises(AssertionError, match="first import or run"):
        shell("hemidiaphragm predict my_radiographs/images --model own --out r", radiographs)


@pytest.mark.extra
def test_gpu_says_what_a_machine_without_one_does(radiographs):
    import torch

    train, ask = commands("gpu")[:2]
    assert str(torch.cuda.is_available()) in shell(ask, radiographs)
    if not torch.cuda.is_available():
        with pytest.raises(AssertionError, match="(?i)cuda|gpu") as said:
            shell(train.partition("#")[0].replace("auto", "cuda"), radiographs)
        assert "Traceback" not in str(said.value)


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.mark.extra
def test_dask_as_written(radiographs):
    text = next(b for b in blocks("cluster") if "dask scheduler --host" in b)
    text = re.sub(r"^pip .*\n", "", text, flags=re.M).replace("8786", free_port())
    text = text.replace("--data my_radiographs", "--data phantom --repeats 1")
    shell(f"trap 'kill $(jobs -p)' EXIT\n{text}", radiographs, 560)
    assert list((radiographs / "study").rglob("table3*"))


@pytest.mark.extra
def test_slurm_as_written(radiographs):
    "`sbatch` and `srun` are stood in for by the shell."
    text = next(b for b in blocks("cluster") if "#SBATCH" in b)
    (radiographs / "bin").mkdir()
    srun = radiographs / "bin/srun"
    srun.write_text('#!/bin/bash\nwhile [[ "$1" == --* ]]; do shift; done\nexec "$@"\n')
    srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
    text = text.replace(". .venv/bin/activate", "trap 'kill $(jobs -p)' EXIT")
    text = text.replace("--data my_radiographs", "--data phantom --repeats 1")
    (radiographs / "job.sh").write_text(text.replace("--out study", "--out by_slurm"))
    path = os.pathsep.join((str(srun.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    run("bash", "job.sh", limit=560, cwd=radiographs, PATH=path)
    assert list((radiographs / "by_slurm").rglob("table3*"))


@pytest.mark.extra
@pytest.mark.skipif(not shutil.which("storescp"), reason="no dcmtk here: apt-get install dcmtk")
def test_dicom_node_answers_what_it_receives(tmp_path):
    text = next(b for b in blocks("dicom_node") if "storescp" in b)
    port = free_port()
    text = re.sub(r"^apt-get .*\n", "", text, flags=re.M).replace("11112", port)
    text = text.replace("sleep 10", "sleep 2")
    file = python(
        "-c", "from pydicom.data import get_testdata_file as f; print(f('RG1_UNCR.dcm'))"
    ).split()[-1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "HEMIDIAPHRAGM_DATA": ""}
    node = subprocess.Popen(["bash", "-c", text], cwd=tmp_path, env=env, start_new_session=True)
    try:
        time.sleep(2)
        run("storescu", "--call", "HEMIDIA", "127.0.0.1", port, file)
        end = time.monotonic() + 240
        while not list(tmp_path.glob("results/*_sr.dcm")) and time.monotonic() < end:
            time.sleep(1)
        assert list(tmp_path.glob("results/*_seg.dcm")) and list(tmp_path.glob("results/*_sr.dcm"))
    finally:
        os.killpg(node.pid, 15)


def test_colab_and_binder_open_notebooks_that_are_there():
    from tools.build_docs import links_line, notebooks

    for notebook in notebooks():
        line = links_line(notebook)
        colab = re.search(r"colab\.research\.google\.com/github/([^\"]+)", line)[1]
        owner, name, kind, branch, *place = colab.split("/")
        assert (kind, branch) == ("blob", "main") and (ROOT / "/".join(place)).exists()
        binder = re.search(r"mybinder\.org/v2/gh/([^\"]+)", line)[1]
        assert binder == f"{owner}/{name}/main?urlpath=lab/tree/{'/'.join(place)}"


def test_colab_and_binder_install_what_lessons_need():
    lines = (ROOT / ".binder/requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["-e .[lab]"]
    python = (ROOT / ".binder/runtime.txt").read_text(encoding="utf-8").strip()
    minor = int(python.removeprefix("python-3."))
    assert int(settings()["min_python"].removeprefix("3.")) <= minor <= 13
    page = (ROOT / "docs/howto/colab.md").read_text(encoding="utf-8")
    folder = re.search(r"git clone -q \S+ (\S+)", page)[1]
    assert f"pip install -q -e '{folder}[lab]'" in page and f"%cd {folder}" in page
