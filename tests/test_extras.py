"What the extras bring is what the modules import, and a missing one is named in one sentence."

import ast
import sys
from importlib.metadata import packages_distributions, version

import imagecodecs
import numpy as np
import pytest
from packaging.utils import canonicalize_name
from pydicom import uid

from hemidiaphragm_nb.dicom_reader import encode_dicom
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.extras import PACKAGES, MissingExtra
from hemidiaphragm_nb.folders import write_folder
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.radiograph import RadiographError
from hemidiaphragm_nb.readers import read_radiograph
from tests.sound_files import corpus, rare_tiffs, tiff
from tests.test_imports import imports_of
from tools import install_sizes, requirements
from tools.project import LIBRARY, NOTEBOOKS, ROOT, code_cells, module_files, notebooks, run

# What a small installation does: reading, predicting, measuring, DICOM, the command line.
SMALL = [
    "predict",
    "measure",
    "dicom",
    "writers",
    "models",
    "phantom_folder",
    "demo",
    "cli",
    "page",
]
DISTRIBUTIONS = packages_distributions()
# All that `pip install hemidiaphragm_nb` brings; `docs/howto/install.md` says what is how large.
BROUGHT = """fastcore filelock highdicom numpy onnxruntime opencv-python-headless packaging pillow
pydicom pyjpegls pylibjpeg pylibjpeg-openjpeg safetensors tifffile typer annotated-doc rich joblib
shellingham markdown-it-py mdurl pygments typing-extensions cloudpickle flatbuffers protobuf"""
# A Python without some packages, as where they are not installed.
WITHOUT = """\
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {hidden} else super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""
COMMAND = """\
sys.argv[0] = "hemidiaphragm"
from hemidiaphragm_nb.cli import main
try:
    main()
except SystemExit as end:
    print("exit status", end.code)
"""
# Reads each file of a folder; the pixels go beside it, and why one is rejected to the screen.
READ = """\
import numpy as np
from pathlib import Path
from hemidiaphragm_nb.radiograph import RadiographError
from hemidiaphragm_nb.readers import read_radiograph
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        np.save(path.with_name(f"{path.name}.npy"), read_radiograph(path, force=True).pixels)
    except ValueError as error:
        print(error)
assert "torch" not in sys.modules and sys.modules.get("imagecodecs") is None
"""


def names(*keys: str) -> set[str]:
    return {canonicalize_name(r.name) for r in requirements.direct(*keys)}


def imported(nodes) -> set[str]:
    "The packages, not Python's own and not ours, that these nodes import."
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
    found = {name.partition(".")[0] for name in found}
    return found - sys.stdlib_module_names - {LIBRARY.name}


def brought_by(package: str) -> set[str]:
    return {canonicalize_name(name) for name in DISTRIBUTIONS[package]}


def imports_at_the_top(path) -> set[str]:
    "Of our modules, those that are imported as soon as the module at `path` is."
    inside = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            inside |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith(f"{LIBRARY.name}."):
            inside.add(node.module.split(".")[1])
    assert inside <= imports_of(path)
    return inside


def test_the_table_says_what_the_extras_bring():
    indirect = {"traitlets", "IPython", "tornado"}  # with ipywidgets, with voila
    for package, (installed, extra, _) in PACKAGES.items():
        assert package in indirect or installed in names(f"{extra}_requirements"), package
        assert installed not in names(), package


def test_every_import_is_required_or_in_the_table():
    for path in module_files():
        packages = imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        for package in packages - PACKAGES.keys():
            assert brought_by(package) & names(), f"{path.name} imports {package}"


def test_a_small_installation_imports_what_it_brings():
    files = {path.stem: path for path in module_files()}
    todo, seen = list(SMALL), set()
    while todo:
        name = todo.pop()
        seen.add(name)
        body = ast.parse(files[name].read_text(encoding="utf-8")).body
        for package in imported(body):
            assert package not in PACKAGES, f"{name} imports {package}"
            assert brought_by(package) & names(), f"{name} imports {package}"
        own = {n for n in imports_at_the_top(files[name]) if n in files}
        todo += own - seen
    assert len(seen) > 20


def test_the_extra_lab_brings_what_lessons_import():
    brings = requirements.closure(requirements.direct("requirements", "lab_requirements"))
    lessons = [path for path in notebooks() if path.parent == NOTEBOOKS]
    assert len(lessons) >= 20
    for path in [*lessons, *(ROOT / "answers").glob("*.ipynb")]:
        for source in code_cells(path):
            for package in imported(ast.walk(ast.parse(source))) - {"tests", "tools"}:
                assert brought_by(package) & brings.keys(), f"{path.name} imports {package}"


@pytest.mark.parametrize(
    "words, hidden, package",
    [
        ("train", {"torch"}, "torch"),
        ("predict x.png --torch", {"torch"}, "torch"),
        ("predict x.png --fast", {"openvino"}, "openvino"),
        ("check data", {"matplotlib", "pandas"}, "pandas"),
        ("check data", {"torch", "matplotlib"}, "matplotlib"),
        ("course data", {"matplotlib"}, "matplotlib"),
        ("pair in.dcm out.dcm", {"matplotlib", "pandas"}, "pandas"),
        ("agree a.csv b.csv", {"scipy"}, "scipy"),
        ("train", {"torch", "pandas"}, "torch"),
        ("evaluate", {"torch", "pandas"}, "torch"),
        ("review data", {"torch", "pandas"}, "torch"),
        ("app", {"voila"}, "voila"),
        ("replicate", {"torch", "matplotlib", "pytorch_grad_cam"}, "pytorch_grad_cam"),
        ("crossval", {"torch", "matplotlib", "pytorch_grad_cam"}, "pytorch_grad_cam"),
    ],
)
def test_a_missing_package_ends_in_its_sentence(words, hidden, package, tmp_path):
    code = WITHOUT.format(hidden=hidden) + COMMAND
    output = run(sys.executable, "-c", code, *words.split(), cwd=tmp_path)
    lines = [line for line in output.splitlines() if line.startswith("hemidiaphragm: ")]
    assert lines == [f"hemidiaphragm: {MissingExtra(package)}"], output
    assert "Traceback" not in output and output.endswith("exit status 2\n")


def test_a_small_installation_does_the_quick_start(tmp_path):
    "Its commands, as the page has them, where no extra brought anything."
    page = (ROOT / "docs/howto/quickstart.md").read_text(encoding="utf-8")
    commands = [line for line in page.splitlines() if line.startswith("hemidiaphragm ")]
    assert [command.split()[1] for command in commands] == ["phantom", "predict"]
    code = WITHOUT.format(hidden=set(PACKAGES)) + COMMAND
    for command in commands:
        output = run(sys.executable, "-c", code, *command.split()[1:], cwd=tmp_path)
        assert output.endswith("exit status 0\n"), output
    written = {path.name for path in (tmp_path / "results").iterdir()}
    named = {f"phantom-00000{i}_{kind}.png" for i in range(3) for kind in ("mask", "overlay")}
    assert {"report.html", "predictions.csv"} | named <= written


def test_the_extra_clinic_is_enough_for_its_commands(tmp_path):
    "Nothing that another extra brings is imported, late imports among it."
    brought = {package for package, (_, extra, _) in PACKAGES.items() if extra == "clinic"}
    header = dict(PatientID="P", PatientName="Example^One", ViewPosition="AP")
    (tmp_path / "ward").mkdir()
    for day in (1, 2, 3):
        dates = header | dict(AcquisitionDate=f"2026010{day}", StudyDate=f"2026010{day}")
        write_example(tmp_path / f"ward/{day}.dcm", phantom(2 + day, side=256).image, **dates)
    write_folder(phantom_frames(2, side=64), tmp_path / "data")
    code = WITHOUT.format(hidden=set(PACKAGES) - brought) + COMMAND
    tables = ["course/predictions/predictions.csv"] * 2
    for words in (
        ["check", "data"],
        ["course", "ward"],
        ["pair", "ward/1.dcm", "ward/2.dcm"],
        ["agree", *tables],
    ):
        output = run(sys.executable, "-c", code, *words, cwd=tmp_path)
        assert output.endswith("exit status 0\n"), output
    made = ("check/oddest.png", "course/course.html", "pair/excursion.png")
    assert all((tmp_path / name).exists() for name in (*made, "agreement/agreement.html"))


def common_files() -> dict[str, bytes]:
    "Sound files that the small installation reads, by name."
    grey8 = np.ascontiguousarray(phantom(3, side=64).image)
    grey16 = grey8.astype(np.uint16) * 257 + np.arange(64, dtype=np.uint16)
    rgb, deep = (np.dstack([one, one[::-1], one // 2]) for one in (grey8, grey16))
    tiles, lzw = dict(tile=(32, 48)), dict(compression="lzw", predictor=True)
    sound = {name: data for name, data in corpus().items() if name not in RARE_ONES}
    return sound | {
        "png-rgb-16": imagecodecs.png_encode(deep),
        "png-grey-16-alpha": imagecodecs.png_encode(np.dstack([grey16, grey16[::-1]])),
        "png-rgb-16-alpha": imagecodecs.png_encode(np.dstack([deep, grey16[::-1]])),
        "tiff-lzw-rgb-16": tiff(deep, photometric="rgb", rowsperstrip=7, **lzw),
        "tiff-lzw-planes": tiff(
            np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate", **lzw
        ),
        "tiff-lzw-big-endian": tiff(grey16, byteorder=">", **tiles, **lzw),
        "tiff-zlib-float": tiff(grey16.astype(np.float32), compression="zlib"),
        "tiff-packbits-tiles": tiff(grey16, compression="packbits", **tiles),
        "tiff-jpeg-rgb": tiff(rgb, photometric="rgb", compression="jpeg"),
        "tiff-jpeg-ycbcr": tiff(rgb, photometric="ycbcr", compression="jpeg", rowsperstrip=16),
        "tiff-jpeg-tiles": tiff(grey8, compression="jpeg", **tiles),
        "dicom-lossless-8": encode_dicom(grey8, uid.JPEGLosslessSV1),
        "dicom-lossless-rgb": encode_dicom(rgb, uid.JPEGLossless),
    }


RARE_ONES = {
    "dicom-JPEGLosslessSV1": f"16-bit lossless JPEG ({uid.JPEGLosslessSV1.name})",
    "dicom-JPEGExtended12Bit": f"12-bit JPEG ({uid.JPEGExtended12Bit.name})",
    "dicom-lossless-10": f"10-bit lossless JPEG ({uid.JPEGLosslessSV1.name})",
    "tiff-zstd": "a TIFF file compressed by ZSTD",
    "tiff-lzma": "a TIFF file compressed by LZMA",
    "tiff-png": "a TIFF file compressed by PNG",
    "tiff-jpeg2000": "a TIFF file compressed by JPEG2000",
    "tiff-group4": "a TIFF file compressed by CCITTFAX4",
    "tiff-12": "a TIFF file of 12 bits a sample",
    "tiff-float-predictor": "a TIFF file with predictor 3",
}


def rare_files() -> dict[str, bytes]:
    "Sound files that need the extra `codecs`, by the names in `RARE_ONES`."
    ten = phantom(3, side=64).image.astype(np.uint16) << 2
    made = {name: data for name, data in corpus().items() if name in RARE_ONES}
    lossless = encode_dicom(ten, uid.JPEGLosslessSV1, bits=10)
    return made | {"dicom-lossless-10": lossless} | rare_tiffs(ten << 6)


@pytest.mark.parametrize("kind", ["jpegxl", "jpegxr", "lerc"])
def test_a_compression_that_nothing_here_reads(kind, tmp_path):
    path = tmp_path / "rare.tif"
    path.write_bytes(tiff(np.ascontiguousarray(phantom(3, side=64).image), compression=kind))
    with pytest.raises(RadiographError, match="which is not read"):
        read_radiograph(path, force=True)


def test_without_imagecodecs_the_same_is_read(tmp_path):
    """All but the rare encodings, and to the last bit; those are named with their remedy, and
    nothing is printed besides. With imagecodecs all are read.
    """
    common, rare = common_files(), rare_files()
    assert rare.keys() == RARE_ONES.keys()
    for name, data in (common | rare).items():
        (tmp_path / name).write_bytes(data)
    expected = {n: read_radiograph(tmp_path / n, force=True).pixels for n in common | rare}
    code = WITHOUT.format(hidden={"imagecodecs"}) + READ
    output = run(sys.executable, "-c", code, tmp_path, cwd=tmp_path)
    remedy = "Install it: pip install 'hemidiaphragm_nb[codecs]'"
    said = [f"{tmp_path / n}: {w} needs imagecodecs. {remedy}" for n, w in RARE_ONES.items()]
    assert sorted(output.splitlines()) == sorted(said)
    for name in common:
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), expected[name]), name


def test_the_page_has_the_measured_installations():
    rows = install_sizes.saved()
    assert {name.split(",")[0] for name in rows} <= {install_sizes.PLAIN, *install_sizes.extras()}
    text = install_sizes.PAGE.read_text(encoding="utf-8")
    assert install_sizes.as_markdown(list(rows.values())) in text


def test_the_small_installation_is_under_its_limit():
    "As measured, without bytecode and without the page in the browser, which a clone has to build."
    assert float(install_sizes.saved()[install_sizes.PLAIN]["files_mb"]) < install_sizes.LIMIT


def test_a_small_installation_stays_small():
    "No other distribution comes with it than these; fewer may, elsewhere or later."
    direct = requirements.direct()
    other = [str(r) for r in direct if not r.specifier.contains(version(r.name), True)]
    if other:
        pytest.skip(f"this environment has other versions than {', '.join(other)}")
    found = set(requirements.closure(direct))
    assert found <= set(BROUGHT.split()), sorted(found - set(BROUGHT.split()))
    own = [p for p in LIBRARY.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    size = sum(map(install_sizes.megabytes, found))
    size += sum(p.stat().st_size for p in own if "page" not in p.parts) / 1e6
    assert size < install_sizes.LIMIT
