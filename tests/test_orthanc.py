"""A radiograph goes to an Orthanc and back, with its objects, as `docs/archive.md` tells it.

Debian's package `orthanc` is the archive, dcmtk its other side over DIMSE, `orthanc-dicomweb` over
DICOMweb. What is not installed is skipped by its name.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import chdir, closing
from email import message_from_bytes
from pathlib import Path

import pytest
from pydicom import dcmread

from hemidiaphragm_nb.dicom import SegWriter, SrWriter, read_seg, read_sr
from hemidiaphragm_nb.dicom_copy import CopyWriter
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.presentation_state import GspsWriter
from hemidiaphragm_nb.secondary_capture import ScWriter
from hemidiaphragm_nb.writers import predict_folder

WEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")  # where Debian's package puts it
MADE = {"seg": SegWriter, "sr": SrWriter, "gsps": GspsWriter, "sc": ScWriter}
OTHER_STUDY = "1.2.276.0.7230010.3.99"
OTHER = dict(StudyInstanceUID=OTHER_STUDY, SOPInstanceUID=f"{OTHER_STUDY}.1")
OTHER |= dict(SeriesInstanceUID=f"{OTHER_STUDY}.2")
MODALITIES = {"seg": "SEG", "sr": "SR", "gsps": "PR", "sc": "OT"}


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Archive:
    "A running Orthanc."

    def __init__(self, http: int, dicom: int):
        self.http, self.dicom = f"http://127.0.0.1:{http}", dicom

    def ask(self, path: str, data: bytes | None = None, **headers) -> tuple[bytes, str]:
        "The answer to a GET, or to a POST of data, and its content type."
        request = urllib.request.Request(self.http + path, data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read(), answer.headers["Content-Type"]

    def json(self, path: str, data: bytes | None = None, **headers):
        return json.loads(self.ask(path, data, **headers)[0])

    def file(self, uid: str) -> bytes:
        "What it serves of the instance with this SOPInstanceUID."
        [key] = self.json("/tools/lookup", uid.encode())
        return self.ask(f"/instances/{key['ID']}/file")[0]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    "An Orthanc with an empty store, on this machine only."
    if not shutil.which("Orthanc"):
        pytest.skip("Orthanc is not installed (Debian: apt-get install orthanc)")
    place, http, dicom = tmp_path_factory.mktemp("orthanc"), free_port(), free_port()
    config = {
        "StorageDirectory": str(place / "store"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowGet": True,
        "Plugins": [str(WEB)] if WEB.exists() else [],
    }
    (place / "config.json").write_text(json.dumps(config))
    with open(place / "log", "w") as log:
        runs = subprocess.Popen(["Orthanc", place / "config.json"], stdout=log, stderr=log)
    one, end = Archive(http, dicom), time.monotonic() + 30
    while True:
        try:
            one.json("/system")
            break
        except OSError:
            assert runs.poll() is None and time.monotonic() < end, (place / "log").read_text()
            time.sleep(0.1)
    yield one
    runs.terminate()
    runs.wait(30)


def by_dimse(archive: Archive, tool: str, *words, file=()):
    "One of dcmtk's programs, against the archive; skipped where it is not installed."
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed (Debian: apt-get install dcmtk)")
    place = ["-aec", "ORTHANC", "127.0.0.1", str(archive.dicom)]
    subprocess.run([tool, *words, *place, *file], check=True, timeout=60)


def elements(data) -> dict:
    "All elements of a file but its meta information, which each sender writes itself."
    return dcmread(data).to_json_dict()


@pytest.fixture(scope="module")
def radiograph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("radiograph")
    return write_example(folder / "sent.dcm", phantom(3, side=256).image, PixelSpacing=[1, 1])


def test_over_dimse_the_objects_come_back_as_they_were_sent(archive, radiograph, tmp_path):
    "storescu, getscu, predict, storescu: then each element is what it was."
    by_dimse(archive, "storescu", file=[radiograph])
    study = dcmread(radiograph).StudyInstanceUID
    query = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    (tmp_path / "in").mkdir()
    by_dimse(archive, "getscu", *query, "-od", tmp_path / "in")
    [got] = (tmp_path / "in").iterdir()
    assert elements(got) == elements(radiograph)

    writers = [kind(identity="keep") for kind in MADE.values()]
    assert not predict_folder([str(got)], tmp_path / "out", writers=writers)
    made = {name: next((tmp_path / "out").glob(f"*_{name}.dcm")) for name in MADE}
    for file in made.values():
        by_dimse(archive, "storescu", "-R", file=[file])
    for name, file in made.items():
        sent = dcmread(file)
        back = tmp_path / f"{name}.dcm"
        back.write_bytes(archive.file(sent.SOPInstanceUID))
        assert elements(back) == elements(file), name
    assert (read_seg(tmp_path / "seg.dcm") == read_seg(made["seg"])).all()
    assert read_sr(tmp_path / "sr.dcm")["numbers"] == read_sr(made["sr"])["numbers"]
    [key] = archive.json("/tools/lookup", study.encode())
    series = archive.json(f"/studies/{key['ID']}/series")
    found = sorted(one["MainDicomTags"]["Modality"] for one in series)
    assert found == sorted(["CR", *MODALITIES.values()])  # in the study of the radiograph


def test_over_http_the_archive_serves_the_very_bytes(archive, radiograph, tmp_path):
    "De-identified: the copy and all objects are one study of an invented patient."
    writers = [CopyWriter("a key"), *(kind(key="a key") for kind in MADE.values())]
    assert not predict_folder([str(radiograph)], tmp_path / "out", writers=writers)
    files = sorted((tmp_path / "out").glob("*.dcm"))
    assert len(files) == 5
    for file in files:
        assert archive.json("/instances", file.read_bytes())["Status"] == "Success"
    for file in files:
        assert archive.file(dcmread(file).SOPInstanceUID) == file.read_bytes(), file.name
    studies = {dcmread(file).StudyInstanceUID for file in files}
    [key] = archive.json("/tools/lookup", studies.pop().encode())
    assert not studies and archive.json(f"/studies/{key['ID']}/statistics")["CountInstances"] == 5
    capture = dcmread(next(f for f in files if f.name.endswith("_sc.dcm")))
    [key] = archive.json("/tools/lookup", capture.SOPInstanceUID.encode())
    shown, kind = archive.ask(f"/instances/{key['ID']}/preview")
    assert kind == "image/png" and len(shown) > 10_000


def test_over_dicomweb_it_is_stored_found_and_served(archive, radiograph, tmp_path):
    "STOW-RS, QIDO-RS, WADO-RS."
    if not WEB.exists():
        pytest.skip("its plugin is not installed (Debian: apt-get install orthanc-dicomweb)")
    writers = [kind(key="another key") for kind in MADE.values()]
    assert not predict_folder([str(radiograph)], tmp_path / "out", writers=writers)
    files = {name: next((tmp_path / "out").glob(f"*_{name}.dcm")) for name in MADE}
    parts = [
        b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + file.read_bytes() + b"\r\n"
        for file in files.values()
    ]
    form = 'multipart/related; type="application/dicom"; boundary=cut'
    body, json_type = b"".join(parts) + b"--cut--\r\n", "application/dicom+json"
    headers = {"Content-Type": form, "Accept": json_type}
    answer = archive.json("/dicom-web/studies", body, **headers)
    stored, failed = (answer.get(tag, {}).get("Value", []) for tag in ("00081199", "00081198"))
    assert len(stored) == 4 and not failed
    for name, file in files.items():
        ds = dcmread(file)
        study = f"/dicom-web/studies/{ds.StudyInstanceUID}"
        query = f"{study}/series?Modality={MODALITIES[name]}"
        [series] = archive.json(query, Accept=json_type)
        assert series["0020000E"]["Value"] == [ds.SeriesInstanceUID]
        path = f"{study}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        body, kind = archive.ask(path, Accept=accept)
        whole = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        [part] = whole.get_payload()
        assert part.get_content_type() == "application/dicom"
        start = body.index(b"\r\n\r\n") + 4
        assert body[start : start + file.stat().st_size] == file.read_bytes(), name


def test_the_client_of_the_guide_goes_the_same_way(archive, radiograph, tmp_path):
    "The Python of `docs/archive.md`, fetching and sending."
    api = pytest.importorskip("dicomweb_client.api", reason="dicomweb-client is not installed")
    if not WEB.exists():
        pytest.skip("its plugin is not installed (Debian: apt-get install orthanc-dicomweb)")
    text = (Path(__file__).parents[1] / "docs" / "archive.md").read_text(encoding="utf-8")
    fetch, send = (part.split("```")[0] for part in text.split("```python\n")[1:])
    sent = write_example(tmp_path / "sent.dcm", dcmread(radiograph).pixel_array, **OTHER)
    archive.json("/instances", sent.read_bytes())
    fetch = fetch.replace("http://orthanc:8042", archive.http).replace("1.2.3", OTHER_STUDY)
    names = {}
    with chdir(tmp_path):
        exec(fetch, names)
        assert not predict_folder(
            ["in"], "out", writers=[kind(identity="keep") for kind in MADE.values()]
        )
        exec(send, names)
    assert isinstance(names["client"], api.DICOMwebClient)
    [key] = archive.json("/tools/lookup", OTHER_STUDY.encode())
    assert archive.json(f"/studies/{key['ID']}/statistics")["CountInstances"] == 5
