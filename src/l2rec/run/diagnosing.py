"""The diagnosis of prepared data, with what the transition floor reaches on its validation cases."""

from pathlib import Path

from l2rec import models
from l2rec.config import EvaluationSettings
from l2rec.data import diagnosis
from l2rec.data.diagnosis import Diagnosis
from l2rec.data.prepared import Prepared
from l2rec.evaluation import metrics
from l2rec.models import Counter
from l2rec.run.record import ranked

FLOOR = "transition"


def diagnosed(prepared: Prepared) -> Diagnosis:
    """Returns the diagnosis of prepared data; without validation cases it lacks the floor."""
    return diagnosis.diagnose(prepared, floor(prepared))


def floor(prepared: Prepared) -> dict[str, float] | None:
    """Returns what the transition heuristic, counted on the training part, reaches on the validation cases."""
    cases = prepared.cases("validation")
    if not len(cases):
        return None
    found = models.find(FLOOR)
    model = found.model(found.config(), prepared.items, prepared.train.attributes.shape[1])
    assert isinstance(model, Counter)
    model.count(prepared.train)
    return metrics.means(ranked(model, cases, EvaluationSettings()), (10,))


def saved(found: Diagnosis, prepared: Prepared, folder: Path | None) -> Path:
    """Writes `diagnosis.json` into the folder, or beside the data, and returns its path."""
    place = folder or prepared.folder
    place.mkdir(parents=True, exist_ok=True)
    return diagnosis.save(found, place)
