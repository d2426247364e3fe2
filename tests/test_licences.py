"The package installs nothing that can only be had under the GPL or AGPL."

from tools import requirements
from tools.licences import TABLE, copyleft_only, licences

CORE = requirements.closure(requirements.direct("requirements", "lab_requirements"))


def test_every_core_requirement_states_its_licence():
    known = licences()
    assert not [name for name in CORE if known[name] == "UNKNOWN"], "look, and add it to BY_HAND"
    assert not {name: known[name] for name in CORE if copyleft_only(known[name])}


def test_the_list_of_licences_is_complete():
    listed = TABLE.read_text(encoding="utf-8")
    missing = [name for name in CORE if f"| {name} |" not in listed]
    assert not missing, "run `python -m tools.licences`"


def test_copyleft_is_told_apart():
    assert copyleft_only("GPL-3.0-or-later") and copyleft_only("AGPL-3.0")
    assert copyleft_only("GNU General Public License v3 (GPLv3)")
    assert not copyleft_only("GPL-2.0 OR MIT") and not copyleft_only("LGPL-3.0")
    assert not copyleft_only("GNU Lesser General Public License v3 (LGPLv3)")
