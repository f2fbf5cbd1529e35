"""The files that browsers get, the front page, and what stands beside the vendored script."""

from hashlib import sha256
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from l2rec.errors import SettingError
from l2rec.serving.pages import rendering, site
from tests.serving.pages.reading import read

STATIC = Path(site.__file__).parent / "static"


def test_the_front_page_leads_everywhere(client: TestClient) -> None:
    links = [told["href"] for tag, told in read(client, "/").elements if tag == "a"]
    assert {"/explore", "/newcomer", "/runs", "/service", "#main"} <= set(links)


@pytest.mark.parametrize("name", ["style.css", "htmx.min.js", "icon.svg"])
def test_files_come_once_and_change_their_address_with_their_content(client: TestClient, name: str) -> None:
    [address] = [t.get("href") or t["src"] for _, t in read(client, "/").elements if name in str(t)]
    answer = client.get(address)
    assert answer.content == (STATIC / name).read_bytes()
    assert address == f"/static/{name}?{sha256(answer.content).hexdigest()[:12]}"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["README.md", "nothing.js", "..%2Fsite.py", "..%2Fsite%2Epy"])
def test_no_other_file_is_given(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_the_vendored_script_is_the_one_that_the_readme_names() -> None:
    told = (STATIC / "README.md").read_text()
    assert sha256((STATIC / "htmx.min.js").read_bytes()).hexdigest() in told
    assert 'version:"2.0.11"' in (STATIC / "htmx.min.js").read_text()
    assert "Zero-Clause BSD" in (STATIC / "htmx.LICENSE").read_text()


def test_a_complaint_is_one_sentence() -> None:
    assert rendering.sentence(SettingError("k: 0:\n expected 1.")) == "K: 0: expected 1."


def test_pages_stand_in_no_description_of_the_api(client: TestClient) -> None:
    assert all(
        path.startswith("/v1/") or path in ("/healthz", "/readyz", "/metrics")
        for path in client.get("/openapi.json").json()["paths"]
    )
