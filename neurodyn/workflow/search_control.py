"""Who trains what, now: gives out jobs, takes their outcomes, and writes both into the lineage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurodyn.config import to_dict
from neurodyn.models.population import VARIED
from neurodyn.training.run_folder import fork
from neurodyn.workflow.search_lineage import Lineage, Trial
from neurodyn.workflow.search_plan import SearchPlan
from neurodyn.workflow.search_rules import Stretch
from neurodyn.workflow.search_trial import Job, Outcome, home_of, run_job, with_settings

__all__ = ["Controller", "run_here"]


class Controller:
    """A search in progress; whatever runs the jobs asks it for the next one.

    Parameters
    ----------
    folder
        Of the search.
    lineage
        Its record; the trials are planned.
    plan
        What it is about.
    """

    def __init__(self, folder: Path, lineage: Lineage, plan: SearchPlan) -> None:
        self.folder, self.lineage, self.plan = folder.resolve(), lineage, plan
        self.digest = " ".join(plan.about["data"])
        self.running: set[str] = set()
        self._make_forks()

    def next_job(self) -> Job | None:
        """Return what to train next; None if there is nothing to do until a job ends.

        With no job running, None says that the search is over.
        """
        self._exploit()
        stretch = self._promised() or self.plan.rule.next_stretch(self.lineage.trials, self.running)
        if stretch is None:
            return None
        trial = self.lineage.trials[stretch.trial]
        if trial.until != stretch.until:
            self.lineage.record("start", trial=trial.name, until=stretch.until)
        members = self._members(trial)
        self.running.update(one.name for one in members)
        model, training = with_settings(self.plan.model, self.plan.training, trial.settings)
        return Job(
            folder=str(self.folder),
            digest=self.digest,
            trial=trial.name,
            run=trial.group,
            until=stretch.until,
            estimator=model.name,
            model=to_dict(model.config),
            training=to_dict(training),
            members=[self._varied(one) for one in members] if trial.run != trial.group else [],
        )

    def take(self, job: Job, outcome: Outcome) -> None:
        """Write down what came of a job."""
        members = self._members(self.lineage.trials[job.trial])
        for trial, scores in zip(members, outcome.scores):
            known = trial.step
            for step, score in scores:
                if step > known:
                    self.lineage.record("report", trial=trial.name, step=step, score=score)
            if outcome.status != "paused":
                error = {"error": outcome.error} if outcome.error else {}
                self.lineage.record("end", trial=trial.name, status=outcome.status, **error)
            self.running.discard(trial.name)

    def finish(self) -> None:
        """Write down which trials were stopped."""
        for trial in self.lineage.trials.values():
            if not trial.is_over:
                self.lineage.record("end", trial=trial.name, status="stopped")

    def _members(self, trial: Trial) -> list[Trial]:
        """Return the trials that train with one: itself, or its population."""
        return [one for one in self.lineage.trials.values() if one.group == trial.group]

    def _varied(self, trial: Trial) -> dict[str, Any]:
        _, training = with_settings(self.plan.model, self.plan.training, trial.settings)
        return {name: getattr(training, name) for name in VARIED}

    def _promised(self) -> Stretch | None:
        """Return a stretch that was given out before the search was broken off."""
        for trial in self.lineage.trials.values():
            if not trial.is_over and trial.step < trial.until and trial.name not in self.running:
                return Stretch(trial.name, trial.until)
        return None

    def _exploit(self) -> None:
        found = None if self.running else self.plan.rule.forks(self.lineage.trials)
        if found is None or found[0] in self.lineage.exploited:
            return
        step, forks = found
        trials = self.lineage.trials
        entries = [
            {
                "child": one.child,
                "donor": one.donor,
                "old": trials[one.child].settings,
                "new": one.settings,
            }
            for one in forks
        ]
        self.lineage.record("exploit", step=step, forks=entries)
        self._make_forks()

    def _make_forks(self) -> None:
        """Make the run folders of forks that are not there: no donor has trained on since."""
        for trial in self.lineage.trials.values():
            home = home_of(self.folder, trial.run)
            if trial.forks and not home.exists():
                self._make_fork(trial, home)

    def _make_fork(self, trial: Trial, home: Path) -> None:
        last = trial.forks[-1]
        model, training = with_settings(self.plan.model, self.plan.training, trial.settings)
        donor = home_of(self.folder, self.lineage.trials[last.donor].run)
        fork(donor, home, last.step, training, model.config)


def run_here(control: Controller, run: Callable[[Job], Outcome] = run_job) -> None:
    """Run all jobs in this process, one after another."""
    while (job := control.next_job()) is not None:
        control.take(job, run(job))
