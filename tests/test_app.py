"The app in headless Chromium, served by Voilà and in its notebook: upload, drag, type, save."

import contextlib
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
from PIL import Image

from tests.app_page import APP, VIEWER, AppPage
from tests.browser import STEP_SECONDS, chromium, opened
from tests.jupyterlab import notebook_page, running
from tools.project import ROOT, exported_modules, tail

SERVER_SECONDS = 150  # until the page's address is printed
PICTURE_BYTES = 400_000
SERVE = "import sys; from hemidiaphragm_nb.app import serve; serve(0, sys.argv[1], browser=False)"
LOCAL = ("127.", "::1:")

pytestmark = pytest.mark.timeout(480)


@contextlib.contextmanager
def served(scratch: Path):
    "The app on a free port: its process and address."
    log = scratch / "server.log"
    command = [sys.executable, "-c", SERVE, str(scratch / "reports")]
    environment = {"IPYTHONDIR": str(scratch / "ipython"), "PYTHONPATH": str(ROOT)}
    with running(command, log, scratch, environment) as process:
        end = time.monotonic() + SERVER_SECONDS
        while not (found := re.search(r"http://\S+", log.read_text())):
            assert process.poll() is None and time.monotonic() < end, tail(log.read_text())
            time.sleep(0.2)
        yield process, found[0]


def family(pid: int) -> list[psutil.Process]:
    "The process and its children."
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def listening(pid: int) -> set[str]:
    "The addresses at which the process and its children listen."
    connections = [c for process in family(pid) for c in process.net_connections("inet")]
    listeners = [c for c in connections if c.status == psutil.CONN_LISTEN]
    return {f"{c.laddr.ip}:{c.laddr.port}" for c in listeners}


def status(address: str, **headers) -> int:
    "The status of an answer."
    try:
        with urlopen(Request(address, headers=headers), timeout=STEP_SECONDS) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def websocket_status(address: str, origin: str) -> int:
    "The status of the answer to a WebSocket's first request."
    key = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": origin}
    return status(address, **key)


def test_another_origin_is_rejected_even_with_the_token(tmp_path):
    if not find_spec("voila"):
        pytest.skip("no Voilà here: `pip install voila` installs it")
    with served(tmp_path) as (process, address):
        page, token = address.split("?")
        own, name = page.rstrip("/"), f"{page}login?{token}"
        other = own.rsplit(":", 1)[0] + ":1"
        socket = f"{page}api/kernels/00000000-0000-0000-0000-000000000000/channels?{token}"
        assert websocket_status(socket, own) == 404, "its own page is let in; no such kernel"
        for origin in ("http://evil.example", other, "null"):
            assert status(name, Origin=origin) == websocket_status(socket, origin) == 403, origin
        assert status(name) == status(name, Origin=own) == 200
        port = own.rsplit(":", 1)[1]
        assert status(name, Host=f"evil.example:{port}") == 403, "a name that was made to lead here"
        processes = family(process.pid)
    psutil.wait_procs(processes, timeout=10)


def take(app: AppPage, path: Path) -> None:
    "A picture of the app with a phantom whose left landmark was moved by hand."
    app.changed("the gap after a drag", app.gap, lambda: app.drag("left", down=24, right=10))
    app.page.get_by_label("folder").fill("~/reports")
    app.page.mouse.click(5, 5)
    app.page.wait_for_timeout(1000)
    app.page.screenshot(path=str(path))
    with Image.open(path) as image:
        image.convert("RGB").save(path, optimize=True)  # no palette: it would band the heatmaps
    assert path.stat().st_size < PICTURE_BYTES


def test_app_in_voila(tmp_path, request):
    chromium()
    if not find_spec("voila"):
        pytest.skip("no Voilà here: `pip install voila` installs it")
    with served(tmp_path) as (process, address):
        with urlopen(address.split("?")[0], timeout=STEP_SECONDS) as answer:
            assert "/login" in answer.url, "the page opens without its token"
        with opened(address, width=1280, height=800) as page:
            app = AppPage(page)
            app.walk(tmp_path)
            doors = listening(process.pid)
            assert doors and all(door.startswith(LOCAL) for door in doors)
            if picture := request.config.getoption("--screenshot"):
                take(app, Path(picture))
        processes = family(process.pid)
    psutil.wait_procs(processes, timeout=10)
    assert not [p for p in processes if p.is_running()], "the server left kernels behind"


def test_app_in_jupyterlab(tmp_path):
    chromium()
    with notebook_page(exported_modules()["app"], tmp_path) as run:
        run.page.locator(f"{APP} {VIEWER}").first.scroll_into_view_if_needed()
        AppPage(run.page).walk(tmp_path)
