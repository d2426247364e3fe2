"Every link, picture and anchor of README, docs and notebooks leads somewhere."

import pytest

from tools.links import broken_site_links, broken_source_links, leads_nowhere, source_links
from tools.project import ROOT

README = ROOT / "README.md"


def test_the_sources_have_no_broken_links():
    broken = broken_source_links()
    assert not broken, "\n".join(broken)


def test_pictures_of_the_readme_are_seen():
    pictures = [link for link in source_links(README) if link.endswith(".png")]
    assert len(pictures) >= 2


@pytest.mark.parametrize(
    "link, bad",
    {
        "images/app.png": False,
        "images/app2.png": True,
        "#results-beside-the-papers": False,
        "#results-beside-the-paper": True,
        "nbs/17_measure.ipynb": False,
        "nbs/17_measure.ipynb#exercises": False,
        "nbs/17_measure.ipynb#exercise": True,
        "../elsewhere.md": True,
        "https://doi.org/10.1177/20552076231225853": False,
        "http:/doi.org/10": True,
        "ftp://example.org": True,
    }.items(),
)
def test_what_leads_nowhere(link, bad):
    assert leads_nowhere(README, link) is bad


def test_a_site_without_its_picture_is_reported(tmp_path):
    (tmp_path / "there.png").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/index.html").write_text('<p id="here"></p>')
    (tmp_path / "index.html").write_text(
        '<img src="there.png"><img src="gone.png"><img srcset="there.png 1x, gone2.png 2x">'
        '<a href="folder/">1</a><a href="folder/index.html#here">2</a>'
        '<a href="folder/index.html#gone">3</a><a href="#gone">4</a>'
        '<script src="//cdn.example.org/a.js"></script><a href="https://example.org/x">5</a>'
        '<img src="data:image/png;base64,AA==">'
    )
    assert broken_site_links(tmp_path) == [
        f"index.html: {link}"
        for link in (
            "gone.png",
            "gone2.png",
            "folder/index.html#gone",
            "#gone",
            "//cdn.example.org/a.js",
        )
    ]
