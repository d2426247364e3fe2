"""What the package needs of this environment: the closure of the requirements in `settings.ini`.

The package itself needs little; each of its extras adds to that, and may name other extras.

`python -m tools.requirements --lock` writes it, with versions, to `requirements.lock`.
"""

import argparse
from configparser import ConfigParser
from importlib.metadata import distribution, distributions, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = """\
# Exact versions of everything that the package and its extra `dev` need, as tried on Linux (x86_64)
# with Python 3.11. `make demo LOCKED=1` keeps to these; `make lock` writes this file.
"""
LOCKED = ("requirements", "dev_requirements")


def settings() -> dict[str, str]:
    "The entries of `settings.ini`."
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return dict(config["DEFAULT"])


def own_extras(key: str) -> list[str]:
    "The keys of the package's own extras that `key` of `settings.ini` includes."
    listed = [Requirement(line) for line in settings()[key].split("\n")]
    own = [r for r in listed if canonicalize_name(r.name) == _own_name()]
    return [f"{extra}_requirements" for r in own for extra in sorted(r.extras)]


def direct(*keys: str) -> list[Requirement]:
    """The requirements listed under `keys` of `settings.ini`, those of included extras too; without
    `keys`, what the package itself needs.
    """
    found = []
    for key in keys or ("requirements",):
        listed = [Requirement(line) for line in settings()[key].split("\n")]
        found += [r for r in listed if canonicalize_name(r.name) != _own_name()]
        found += direct(*included) if (included := own_extras(key)) else []
    return found


def _own_name() -> str:
    return canonicalize_name(settings()["lib_name"])


def closure(roots: list[Requirement]) -> dict[str, str]:
    "Name and version of `roots` and of all that they require here, extras and markers observed."
    found, todo = {}, [(canonicalize_name(root.name), frozenset(root.extras)) for root in roots]
    seen = set(todo)
    while todo:
        name, extras = todo.pop()
        dist = distribution(name)
        found[name] = dist.version
        for requirement in map(Requirement, dist.requires or []):
            contexts = [{"extra": extra} for extra in ("", *extras)]
            wanted = requirement.marker is None or any(
                requirement.marker.evaluate(c) for c in contexts
            )
            item = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            if wanted and item not in seen:
                seen.add(item)
                todo.append(item)
    return found


def foreign(*keys: str) -> tuple[list[str], list[str]]:
    "Modules and distributions of this environment that are not in the closure of `direct(*keys)`."
    keep = {*closure(direct(*keys)), _own_name()}
    provided = packages_distributions()
    modules = [
        name for name, dists in provided.items() if not keep & {canonicalize_name(d) for d in dists}
    ]
    names = {canonicalize_name(dist.metadata["Name"]) for dist in distributions()}
    return sorted(modules), sorted(names - keep)


def lock_text() -> str:
    "The contents of `requirements.lock` for this environment."
    return HEADER + "".join(
        f"{name}=={version}\n" for name, version in sorted(closure(direct(*LOCKED)).items())
    )


def unlocked() -> list[str]:
    "Direct requirements that `requirements.lock` does not meet."
    lines = [
        line for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    versions = dict(line.split("==") for line in lines)
    return [
        str(r)
        for r in direct(*LOCKED)
        if not r.specifier.contains(versions.get(canonicalize_name(r.name), "0"), True)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lock", action="store_true", help="write requirements.lock")
    if parser.parse_args().lock:
        LOCK.write_text(lock_text(), encoding="utf-8")
    else:
        print(lock_text())
