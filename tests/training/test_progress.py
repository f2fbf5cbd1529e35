"""The bar shows where the training is, on a terminal and nowhere else."""

import pytest
from rich.console import Console

from l2rec.training import progress
from l2rec.training.course import Course
from l2rec.training.progress import Bar


def course() -> Course:
    sums = {"sequences": 80.0, "seconds": 0.5}
    return Course(step=13, epoch=1, place=3, best={"ndcg@10": 0.12345}, best_epoch=1, sums=sums)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        progress, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=150, color_system=None)
    )


def test_a_terminal_shows_epoch_steps_rate_loss_and_best(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_terminal(monkeypatch)
    with Bar(shown=True, epochs=4) as bar:
        bar.update(course(), steps=10, loss=2.34567)
    shown = capsys.readouterr()
    assert shown.out == ""
    for part in ("epoch 2/4", "13/40", "160 sequences/s", "loss 2.3457", "best ndcg@10 0.1235 (epoch 1)"):
        assert part in shown.err


def test_before_the_first_validation_there_is_no_best(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_terminal(monkeypatch)
    with Bar(shown=True, epochs=4) as bar:
        bar.update(Course(step=1, place=1, sums={"sequences": 8.0, "seconds": 0.0}), steps=10, loss=2.0)
    assert "no ndcg@10 yet" in capsys.readouterr().err


@pytest.mark.parametrize("shown", [True, False])
def test_without_a_terminal_or_unasked_nothing_is_written(
    shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shown:
        on_a_terminal(monkeypatch)
    with Bar(shown=shown, epochs=4) as bar:
        bar.update(course(), steps=10, loss=2.0)
    assert capsys.readouterr() == ("", "")
