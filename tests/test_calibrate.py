"`tools.calibrate` writes what ships: the same results give the same files, byte for byte."

import json
import shutil

from hemidiaphragm_nb import runtime
from tools.calibrate import calibrate

SHIPPED = runtime.shipped_folder()


def test_the_intervals_that_ship_are_those_of_the_results(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    shutil.copytree(SHIPPED, folder)
    data, card = runtime.read_exported(folder / runtime.EXPORTED)
    learnt, name = card["intervals"], runtime.EXPORTED
    without = {key: value for key, value in card.items() if key not in ("intervals", "network")}
    body = data[: card["network"]["bytes"]]
    monkeypatch.setattr(runtime, "shipped_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)  # the results are found from the library, too
    from hemidiaphragm_nb.export import write_exported

    write_exported(folder / name, body, without | {"intervals": {}})
    changed = json.loads((folder / "card.json").read_text(encoding="utf8")) | {"intervals": {}}
    (folder / "card.json").write_text(json.dumps(changed, indent=1) + "\n", encoding="utf8")
    (folder / "README.md").write_text("", encoding="utf8")
    assert calibrate() == learnt
    for name in ("card.json", "README.md"):
        assert (folder / name).read_bytes() == (SHIPPED / name).read_bytes()
    again, after = runtime.read_exported(folder / runtime.EXPORTED)
    assert again[: len(body)] == body and after == card
