"""RecTools' side of `evaluate.py`: waits for a line, ranks and measures, answers with one line of JSON.

Runs in RecTools' own environment and knows nothing of l2rec.

    python rectools_metrics.py FOLDER THREADS
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from rectools import Columns, metrics
from rectools.dataset import IdMap, SparseFeatures
from rectools.models.rank import Distance, ImplicitRanker
from scipy import sparse

CUTOFFS = (5, 10, 20)


def now() -> np.ndarray:
    """Returns the clock and the processor time of all threads, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def rankers(users: np.ndarray, items: np.ndarray, threads: int) -> list:
    """Returns RecTools' rankers that run here."""
    found = [ImplicitRanker(Distance.DOT, users, items, num_threads=threads)]
    try:
        import torch
        from rectools.models.rank import TorchRanker

        torch.set_num_threads(threads)
        tables = (torch.from_numpy(users), torch.from_numpy(items))
        found.append(TorchRanker(Distance.DOT, "cpu", *tables, batch_size=256))
    except ImportError:
        pass
    return found


def recommended(ranker, seen: sparse.csr_matrix) -> pd.DataFrame:
    """Returns everybody's list of twenty."""
    user, item, _ = ranker.rank(np.arange(seen.shape[0]), k=max(CUTOFFS), filter_pairs_csr=seen)
    table = pd.DataFrame({Columns.User: user, Columns.Item: item})
    table[Columns.Rank] = table.groupby(Columns.User, sort=False).cumcount() + 1
    return table


def accuracy() -> dict:
    """Returns the metrics that both sides have."""
    kinds = {"recall": lambda k: metrics.HitRate(k=k), "mrr": lambda k: metrics.MRR(k=k)}
    kinds["ndcg"] = lambda k: metrics.NDCG(k=k, divide_by_achievable=True)
    return {f"{name}@{k}": make(k) for name, make in kinds.items() for k in CUTOFFS}


def beyond(features: pd.DataFrame) -> dict:
    """Returns coverage, and RecTools' own kinds of novelty, popularity and variety."""
    table = SparseFeatures(sparse.csr_matrix(features.to_numpy(dtype=np.float32)), tuple(features.columns))
    apart = metrics.SparsePairwiseHammingDistanceCalculator(table, IdMap(features.index.to_numpy()))
    kinds = {
        "coverage": lambda k: metrics.CatalogCoverage(k=k, normalize=True),
        "miuf": lambda k: metrics.MeanInvUserFreq(k=k),
        "popularity": lambda k: metrics.AvgRecPopularity(k=k),
    }
    one = {"diversity@10": metrics.IntraListDiversity(k=10, distance_calculator=apart)}  # alone longer than all others
    return {f"{name}@{k}": make(k) for name, make in kinds.items() for k in CUTOFFS} | one


def main() -> None:
    """Answers every line with seconds and metrics."""
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    load = {name: np.load(folder / f"{name}.npy") for name in ("users", "items", "targets", "offsets", "events")}
    count, catalogue = len(load["users"]), np.arange(len(load["items"]))
    owner = np.repeat(np.arange(count), np.diff(load["offsets"]))
    other = load["events"] != load["targets"][owner]
    pairs = (np.ones(int(other.sum()), np.float32), (owner[other], load["events"][other]))
    seen = sparse.csr_matrix(pairs, shape=(count, len(catalogue)))
    before = pd.DataFrame({Columns.User: owner, Columns.Item: load["events"]}).drop_duplicates()
    asked = pd.DataFrame({Columns.User: np.arange(count), Columns.Item: load["targets"]})
    rows = pd.DataFrame(json.loads((folder / "attributes.json").read_text()), columns=["item", "attribute"])
    features = pd.crosstab(rows["item"], rows["attribute"]).reindex(catalogue, fill_value=0)
    plain, rest = accuracy(), beyond(features)
    choice = rankers(load["users"], load["items"], threads)
    for _ in sys.stdin:
        spent = []
        for ranker in choice:
            begin = now()
            lists = recommended(ranker, seen)
            spent.append((now() - begin).tolist())
        clock = [now()]
        found = metrics.calc_metrics(plain, lists, asked)
        clock.append(now())
        found |= metrics.calc_metrics(rest, lists, asked, before, catalogue)
        clock.append(now())
        stages = np.diff(clock, axis=0).tolist()
        seconds = {"rank": min(spent), "accuracy": stages[0], "beyond": stages[1]}
        print(json.dumps({"seconds": seconds, "found": found}), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
