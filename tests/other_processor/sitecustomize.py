"""Loaded at the start of every Python whose path holds this folder: trains as elsewhere.

What differs between processors is the last digits of sums, which moves a trained network as another
seed does, and whether bfloat16 is used. So every seed of a training run is shifted, and the
processor has bfloat16 or not, as two environment variables say. `tests/any_processor.py` sets them.
A third caps the epochs of every recipe, for tests of what is done with networks, however little
these have learnt; `tests/jupyterlab.py` sets it.
"""

import os
import sys
from dataclasses import replace
from functools import wraps
from importlib.machinery import PathFinder

SHIFT = int(os.environ.get("HEMIDIAPHRAGM_TEST_SEED_SHIFT", "0"))
PRECISION = os.environ.get("HEMIDIAPHRAGM_TEST_PRECISION", "")
EPOCHS = int(os.environ.get("HEMIDIAPHRAGM_TEST_EPOCHS", "0"))


def _shifted(function):
    "A function of a seed, with another seed."
    return wraps(function)(lambda seed, *args, **kwargs: function(seed + SHIFT, *args, **kwargs))


def _decided(function):
    "Whether the processor has bfloat16: as the variable says, if it is set."
    decided = wraps(function)(lambda *args, **kwargs: PRECISION == "bf16")
    return decided if PRECISION else function


def _shortened(function):
    "A function that makes a recipe, of no more epochs than the variable says, if it is set."

    @wraps(function)
    def short(*args, **kwargs):
        recipe = function(*args, **kwargs)
        return replace(recipe, epochs=min(recipe.epochs, EPOCHS))

    return short if EPOCHS else function


CHANGES = {"set_seed": _shifted, "epoch_generator": _shifted, "has_bf16": _decided}
CHANGES |= {"recipe": _shortened}


def disturb(names: dict) -> None:
    "Change the functions among `names` that decide how a run trains, once."
    for name, change in CHANGES.items():
        function = names.get(name)
        if callable(function) and not getattr(function, "disturbed", False):
            names[name] = change(function)
            names[name].disturbed = True


class Disturbing(PathFinder):
    "Finds what PathFinder finds; the package's modules are disturbed as soon as they are loaded."

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target)
        if name.startswith("hemidiaphragm_nb.") and spec and spec.loader:
            exec_module = spec.loader.exec_module

            def exec_and_disturb(module):
                exec_module(module)
                disturb(vars(module))

            spec.loader.exec_module = exec_and_disturb
        return spec


sys.meta_path.insert(0, Disturbing)
