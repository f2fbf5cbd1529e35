"""`l2rec serve`: refuses what cannot be served in one line, answers over a real socket, and ends gracefully."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.store.sqlite import SqliteStore
from tests.cli.conftest import Call
from tests.trained import World


@pytest.fixture
def address(world: World, tmp_path: Path) -> str:
    """A store with a counted run."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    publish(world.popularity, store, PublishOptions(k=5))
    store.close()
    return f"sqlite:///{path}"


def test_a_store_without_a_release_is_refused(tmp_path: Path, call: Call) -> None:
    said = call("serve", "--store", f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "no release. Publish a run first: l2rec publish RUN --store sqlite:///" in said.err


def test_a_refused_address_is_told_without_its_password(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2rec.serving.store.opening.open_store", lambda _: SqliteStore(tmp_path / "new.db"))
    said = call("serve", "--store", "redis://me:secret@host/0")
    assert (said.code, "secret" in said.err + said.out) == (2, False)
    assert said.err.count("redis://me:***@host/0") == 2


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(1, 1, 1), (2, 1, 1), (2, 2, 1), (4, 1, 3), (8, 2, 3), (2, 4, 1)]
)
def test_one_core_of_every_process_is_left_to_what_reads_requests(
    cores: int, workers: int, threads: int, address: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr("l2rec.cli.serve._cores", lambda: cores)
    monkeypatch.setattr("l2rec.cli.serve._run", lambda settings, port, workers: told.append(settings.threads))
    assert call("serve", "--store", address, "--workers", str(workers)).code == 0
    assert told == [threads]


WHEN_TORCH_IS_LOADED = """
import os, sys
from importlib.abc import MetaPathFinder
class Watch(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print(os.environ.get("ONEDNN_PRIMITIVE_CACHE_CAPACITY"), os.environ.get("LRU_CACHE_CAPACITY"))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Watch())
from l2rec.cli.app import main
sys.argv = ["l2rec", "serve", "--store", sys.argv[1]]
main()
"""


def test_pytorch_finds_small_caches_of_kernels_unless_the_user_chose_others(address: str) -> None:
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    for given, expected in (({}, "64 64"), ({names[0]: "7"}, "7 64"), ({names[1]: "9"}, "64 9")):
        said = subprocess.run(
            [sys.executable, "-c", WHEN_TORCH_IS_LOADED, address],
            env={**clean, **given},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert said.stdout.splitlines()[:1] == [expected], said.stderr


def test_other_machines_are_let_in_only_with_keys(address: str, call: Call) -> None:
    for host in ("0.0.0.0", "example.org", "192.0.2.1"):
        said = call("serve", "--store", address, "--host", host)
        assert said.code == 2
        assert f"l2rec: --host {host}: others can reach it, and the store has no keys. Create one" in said.err


def test_a_run_that_has_gone_is_refused(address: str, call: Call) -> None:
    store = SqliteStore(Path(address.removeprefix("sqlite:///")))
    release = store.current()
    assert release is not None
    store.begin(release.model_copy(update={"version": "gone", "run": "gone", "finished": None}))
    store.switch(release.model_copy(update={"version": "gone", "run": "gone"}))
    store.close()
    said = call("serve", "--store", address)
    assert (said.code, "gone: no run in this folder" in said.err) == (2, True)


@pytest.mark.parametrize("name", ["weights.safetensors", "ids/users.parquet"])
def test_a_tampered_run_is_refused_before_the_server_starts(
    name: str, world: World, tmp_path: Path, call: Call
) -> None:
    run, address = Path(shutil.copytree(world.popularity, tmp_path / "run")), tmp_path / "store.sqlite"
    publish(run, SqliteStore(address), PublishOptions(k=5))
    data = bytearray((run / name).read_bytes())
    data[len(data) // 2] ^= 1
    (run / name).write_bytes(data)
    said = call("serve", "--store", f"sqlite:///{address}")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert f"{run / name}: sha256 " in said.err
    assert "lost, cut or changed since. Restore a copy, or train again." in said.err


def test_another_run_in_the_place_of_the_published_one_is_refused(world: World, tmp_path: Path, call: Call) -> None:
    run, address = tmp_path / "run", tmp_path / "store.sqlite"
    shutil.copytree(world.sasrec / "seed-0", run)
    publish(run, SqliteStore(address), PublishOptions(k=5))
    shutil.rmtree(run)
    shutil.copytree(world.sasrec / "seed-1", run)
    said = call("serve", "--store", f"sqlite:///{address}")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "was published. Publish the run again." in said.err


def _answer(url: str, process: "subprocess.Popen[bytes]") -> bytes:
    for _ in range(300):
        assert process.poll() is None
        try:
            with urlopen(url) as answer:
                content: bytes = answer.read()
                return content
        except URLError:
            time.sleep(0.1)
    raise AssertionError(f"{url}: no answer")


def test_a_server_answers_over_http_and_ends_gracefully(address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "l2rec", "serve", "--store", address, "--port", str(port)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=quiet) as process:
        try:
            ready = json.loads(_answer(f"http://127.0.0.1:{port}/readyz", process))
            assert ready["model"] in ("loading", "live")
            assert json.loads(_answer(f"http://127.0.0.1:{port}/readyz?model=live", process))["model"] == "live"
            told = json.loads(_answer(f"http://127.0.0.1:{port}/v1/users/u5/recommendations?k=3", process))
            assert (told["source"], len(told["items"])) == ("cached", 3)
            event = {"event_id": "e", "user_id": "..%2F/ü", "item_id": "i3"}
            report = Request(
                f"http://127.0.0.1:{port}/v1/events",
                json.dumps({"events": [event]}).encode(),
                {"content-type": "application/json"},
            )
            with urlopen(report) as answer:
                assert json.load(answer) == {"accepted": 1, "new": 1}
            path = f"/v1/users/{quote(event['user_id'], safe='')}/recommendations"
            told = json.loads(_answer(f"http://127.0.0.1:{port}{path}", process))
            assert (told["source"], "i3" in [item["item_id"] for item in told["items"]]) == ("fresh", False)
            assert b"l2rec_answers_total" in _answer(f"http://127.0.0.1:{port}/metrics", process)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode in (0, -signal.SIGTERM), err.decode()
    assert b"warning: the store has no keys" in err
    assert b"Traceback" not in err
