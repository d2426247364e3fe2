"""The table of the engine room's notebooks, as the index has it: `python -m tools.rooms` prints it.

Its groups and their order are those of `tests/module_order.txt`.
"""

from tools.project import ROOT

ORDER = ROOT / "tests/module_order.txt"


def groups(place: str = "nbs/engine/{}.ipynb") -> dict[str, list[str]]:
    "The modules that have a file at `place`, by the headings of `module_order.txt`, in its order."
    found, lines = {}, ORDER.read_text(encoding="utf-8").splitlines()
    for before, line in zip(["", *lines], lines):
        if line.startswith("#") and not before:
            found[line.removeprefix("# ")] = []
        elif line and not line.startswith("#") and (ROOT / place.format(line)).exists():
            found[list(found)[-1]].append(line)
    return {title: modules for title, modules in found.items() if modules}


def engine_table() -> str:
    "A row a group, with a link to each notebook."
    rows = ["| what for | notebooks, each after those that it imports |", "|---|---|"]
    for title, modules in groups().items():
        links = ", ".join(f"[{name}](nbs/engine/{name}.ipynb)" for name in modules)
        rows.append(f"| {title[0].lower()}{title[1:]} | {links} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(engine_table())
