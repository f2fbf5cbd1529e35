"""What is said of a search while it goes on: the trial, the best so far, and what is left."""

import pytest
from rich.console import Console

from l2rec.run import search_bar
from l2rec.run.search_bar import SearchBar, line, outlook, under_way
from l2rec.run.searched import Budget
from l2rec.run.study import Tried


def tried(number: int, state: str, *validations: float, seconds: float = 60.0, why: str | None = None) -> Tried:
    return Tried(number, state, {"model.width": 64, "training.learning_rate": 0.00123456}, validations, seconds, why)


TRIALS = [tried(1, "complete", 0.08, 0.09, 0.07), tried(2, "pruned", 0.2, seconds=20.0), tried(3, "running", 0.0812)]


def test_the_trial_its_last_validation_and_the_best_are_said() -> None:
    assert under_way(Budget(trials=20), TRIALS) == "trial 3/20, validation 1: .0812, best .0900 (trial 1)"
    assert under_way(Budget(seconds=9.0), [tried(1, "running")]) == "trial 1, no best yet"


def test_what_is_left_is_the_mean_of_the_trials_that_ended_or_the_seconds() -> None:
    assert outlook(Budget(trials=4), TRIALS) == (0.5, "about 1 min left")
    assert outlook(Budget(trials=4), [tried(1, "running")]) == (0.0, "")
    assert outlook(Budget(seconds=560.0), TRIALS) == (0.25, "about 7 min left")
    assert outlook(Budget(trials=100, seconds=200.0), TRIALS) == (0.7, "about 1 min left")
    assert outlook(Budget(seconds=100.0), TRIALS) == (1.0, "about 0 min left")


def test_a_line_on_a_trial_says_what_it_came_to() -> None:
    settings = "model.width=64, training.learning_rate=0.001235"
    assert line(TRIALS[:1]) == f"trial 1: complete, ndcg@10 .0900, the best so far, 60.0 s, {settings}"
    assert line(TRIALS[:2]) == f"trial 2: pruned, ndcg@10 .2000, 20.0 s, {settings}"
    assert line([tried(1, "failed", why="loss nan.")]) == f"trial 1: failed, 60.0 s, {settings}: loss nan."


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("shown", [True, False])
def test_lines_are_for_everybody_and_the_bar_for_a_terminal(
    shown: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def console(stderr: bool, **_: bool) -> Console:
        return Console(stderr=stderr, force_terminal=terminal, width=200, color_system=None)

    monkeypatch.setattr(search_bar, "Console", console)
    with SearchBar(shown, Budget(trials=20)) as bar:
        bar.update(TRIALS)
        bar.ended(TRIALS[:1])
    out, err = capsys.readouterr()
    assert out == ""
    assert ("trial 1: complete" in err) == shown
    assert ("trial 3/20, validation 1" in err or "trial 1/20, validation 3" in err) == (shown and terminal)
