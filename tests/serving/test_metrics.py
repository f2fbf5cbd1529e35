"""What a server counts: what it remembers of users, read off at every look, over releases and over processes."""

import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from l2rec.serving.metrics import OUTCOMES, SHARED, Metrics, Reading
from l2rec.serving.publishing.publish import PublishOptions, publish
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.serving.service import desk_of, event, listed, published, serving
from tests.trained import World


def told(text: str) -> dict[str, float]:
    """The values of a metrics page by name and labels."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, value in lines}


def prefixes(text: str) -> dict[str, float]:
    return {outcome: told(text)[f'l2rec_prefixes_total{{outcome="{outcome}"}}'] for outcome in OUTCOMES}


def test_what_is_remembered_of_users_is_told(world: World, backbone: Path, tmp_path: Path) -> None:  # noqa: F811
    run = runs.l2rec(world, backbone).folder.path
    store = published(run, tmp_path / "store.sqlite")
    with serving(store) as client:
        stage, path = desk_of(client).stage, "/v1/users/nobody yet/recommendations"
        assert set(prefixes(client.get("/metrics").text).values()) == {0}
        for n, item in enumerate(("i3", "i10", "i2")):
            client.post("/v1/events", json={"events": [event(f"e{n}", "nobody yet", item)]})
            assert listed(client, path, deadline_ms=30_000)["source"] == "fresh"
        listed(client, path, deadline_ms=30_000)
        text = client.get("/metrics").text
        assert prefixes(text) == {"grown": 2, "same": 1, "slid": 0, "unknown": 1, "dropped": 0}
        assert told(text)["l2rec_prefix_bytes"] == stage.ready.live.prefixes.size > 0
        first = stage.ready
        publish(run, store, PublishOptions(k=5))
        client.portal.call(stage.refresh)  # type: ignore[union-attr]
        assert stage.ready is not first
        listed(client, path, deadline_ms=30_000, prompt="red lamp")
        text = client.get("/metrics").text
        assert prefixes(text) == {"grown": 2, "same": 1, "slid": 0, "unknown": 2, "dropped": 0}
        assert told(text)["l2rec_prefix_bytes"] == stage.ready.live.prefixes.size


def test_counts_of_a_new_release_are_added_to_those_of_the_old_one() -> None:
    metrics, counts = Metrics(), Counter(grown=3)
    reading = Reading(2.0, 5.0, 700.0, counts)
    metrics.watch(lambda: reading)
    metrics.note()
    counts["grown"] += 1
    counts["dropped"] += 2
    assert prefixes(metrics.text().decode()) == {"grown": 4, "same": 0, "slid": 0, "unknown": 0, "dropped": 2}
    reading = Reading(1.0, 0.0, 300.0, Counter(grown=5))
    found = told(metrics.text().decode())
    assert found['l2rec_prefixes_total{outcome="grown"}'] == 9
    values = [found[f"l2rec_{name}"] for name in ("queue_length", "release_age_seconds", "prefix_bytes")]
    assert values == [1.0, 0.0, 300.0]


PROCESS = """
import sys
from collections import Counter
from l2rec.serving.metrics import Metrics, Reading

metrics, reading = Metrics(), Reading(2.0, float(sys.argv[1]), 100.0, Counter(same=3))
metrics.watch(lambda: reading)
metrics.request("/x", 200, 0.01)
metrics.note()
if sys.argv[2] == "tell":
    print(metrics.text().decode())
else:
    print("noted", flush=True)
    sys.stdin.read()
"""


def test_processes_are_added_up_and_only_the_counts_of_the_dead_stay(tmp_path: Path) -> None:
    env = {**os.environ, SHARED: str(tmp_path)}
    words = [sys.executable, "-c", PROCESS]
    tell = partial(subprocess.run, env=env, capture_output=True, check=True, text=True)
    with subprocess.Popen([*words, "7", "stay"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"noted\n"
        both = told(tell([*words, "4", "tell"]).stdout)
        other.kill()
    alone = told(tell([*words, "4", "tell"]).stdout)
    gauges = ["l2rec_queue_length", "l2rec_prefix_bytes", "l2rec_release_age_seconds"]
    assert [both[name] for name in gauges] == [4, 200, 7]
    assert [alone[name] for name in gauges] == [2, 100, 4], "of the one that was asked before, nothing either"
    for found, processes in ((both, 2), (alone, 3)):
        assert found['l2rec_prefixes_total{outcome="same"}'] == 3 * processes
        assert found['l2rec_requests_total{route="/x",status="200"}'] == processes
