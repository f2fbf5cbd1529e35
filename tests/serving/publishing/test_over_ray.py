"""Publishing over a Ray cluster: the workers' rows are those of one process, in its order."""

from pathlib import Path

import numpy as np
import pytest

from l2rec.errors import MissingExtraError
from l2rec.serving.publishing import over_ray as publish_ray
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.records import Event
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.publishing.published import written
from tests.trained import World


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own, which it may change in any version
def test_two_workers_of_a_cluster_give_the_same_rows(run: Path, store: SqliteStore) -> None:
    store.append([Event("a", "u3", "i4", 1.6e9), Event("b", "new", "i5", 1.6e9)])
    heard: list[int] = []
    alone = publish(run, store, PublishOptions(k=9, batch=7, index="faiss"))
    spread = PublishOptions(
        k=9, batch=7, index="faiss", engine="ray", workers=2, progress=lambda done, _: heard.append(done)
    )
    assert written(store, publish(run, store, spread)) == written(store, alone)
    assert heard == [7, 14, 21, 28, 35, 41]


def test_without_ray_the_extra_is_named(world: World, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'ray: not installed\. Run: pip install "l2rec\[ray\]"'):
        publish(world.popularity, store, PublishOptions(engine="ray"))
    assert publish_ray.Worker  # the module itself needs no Ray
    assert np.all([release.finished is None for release in store.releases()])
