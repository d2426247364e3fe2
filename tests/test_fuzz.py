"""Broken files give a valid radiograph or the one documented error; see `fuzzing.py`."""

import pytest

from tests.library import planted
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


def test_broken_files_are_read_or_refused():
    print(python(*FUZZING, limit=600))


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug, tmp_path):
    "Else the fuzzing proves nothing."
    package = planted(*BUGS[bug], tmp_path / "package")
    options = ["--enough", 1, "--patience", 3, "--keep", tmp_path / "kept"]
    with pytest.raises(CommandFailed) as failed:
        python(*FUZZING, *options, cwd=package)
    assert ", 1 findings; peak" in str(failed.value)
