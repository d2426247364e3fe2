"""Broken files give a valid radiograph or the one documented error; see `fuzzing.py`."""

import random

import pytest

from tests.library import planted
from tests.sound_files import corpus
from tests.structures import broken
from tools.project import CommandFailed, python

FUZZING = ("-m", "tests.fuzzing")
KIND = "kind = file_kind(data)"
BUGS = {
    "another exception": (
        "    except Exception as error:\n        why = ",
        "    except OSError as error:\n        why = ",
    ),
    "values that are not finite": (
        "if not whole and not np.isfinite(pixels).all():",
        "if False:",
    ),
    "too much memory": (KIND, f"{KIND} if len(data) % 9 else bytearray(3 << 30)"),
    "a crash": (KIND, f"{KIND} if len(data) % 9 else __import__('os').abort()"),
    "no end": (KIND, f"{KIND} if len(data) % 9 else any(iter(int, 1))"),
}


def test_broken_files_are_read_or_rejected():
    print(python(*FUZZING, limit=600))


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug, tmp_path):
    "Else the fuzzing proves nothing."
    package = planted(*BUGS[bug], tmp_path / "package")
    options = ["--enough", 1, "--patience", 3, "--keep", tmp_path / "kept"]
    with pytest.raises(CommandFailed) as failed:
        python(*FUZZING, *options, cwd=package)
    assert ", 1 findings; peak" in str(failed.value)


@pytest.mark.parametrize("name", [name for name in corpus() if not name.startswith("bigtiff")])
def test_structures_are_broken(name):
    "Every kind of file is broken along its structure too, and not only unreadable by its length."
    data = corpus()[name]
    found = [broken(name, data, random.Random(k)) for k in range(40)]
    changed = [other for other in found if other is not None and other != data]
    assert len(changed) >= 10  # what no writer would write is left out
    assert len(set(changed)) >= 5
