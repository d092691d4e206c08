from __future__ import annotations

import io
import math
import sys

from neurodyn.training.display import progress_bar

from . import toy


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_a_bar_with_loss_and_score(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar(10, 2, shown=True) as draw:
        draw(3, 0.5, None)
        draw(4, 0.25, math.nan)
        draw(10, 0.125, 1.5)
    text = sys.stderr.getvalue()
    assert "10/10" in text
    assert "loss 0.125  best 1.5" in text


def test_files_pipes_and_the_unwilling_see_nothing(monkeypatch, capsys):
    toy.run(n_steps=2, progress=True)
    monkeypatch.setattr(sys, "stderr", Terminal())
    toy.run(n_steps=2, progress=False)
    assert sys.stderr.getvalue() == ""
    monkeypatch.undo()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
