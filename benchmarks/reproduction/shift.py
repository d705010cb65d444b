"""A shift of our own: what came out of its grid, and what the law said before more was run."""

import math

from analysis.dips import student
from analysis.predicting.courses import Course, courses
from analysis.predicting.outlook import outlook
from benchmarks.reproduction.study import Study
from benchmarks.reproduction.tables import interval, markdown, signed

MEASURES = ("adaptation", "forgetting")
DIGITS = 3


def settings(study: Study) -> str:
    """Adaptation and forgetting of every setting, each with the interval of its own seeds."""
    return markdown(
        ("peak", "replay", *MEASURES),
        [
            [*_named(one), *(_measured(study, one, measure) for measure in MEASURES)]
            for one in courses(study.sweep, study.trials)
        ],
    )


def contrasts(study: Study) -> str:
    """What replay and a higher peak change in a grid of three of each, paired by seed."""
    _, peak, high = study.evidence.planned("max_lr")
    none, little, much = study.evidence.planned("replay_fraction")
    rows = {
        f"{little:.0%} replay less none, peak {peak:g}": ((peak, little), (peak, none)),
        f"{much:.0%} replay less none, peak {peak:g}": ((peak, much), (peak, none)),
        f"peak {high:g} less {peak:g}, no replay": ((high, none), (peak, none)),
        f"peak {high:g} less {peak:g}, {much:.0%} replay": ((high, much), (peak, much)),
    }
    told = []
    for label, pair in rows.items():
        one, other = (study.setting(max_lr=rate, replay_fraction=share) for rate, share in pair)
        told.append([label, *(interval(study.difference(one, other, each)) for each in MEASURES)])
    return markdown(("", *MEASURES), told)


def gained(study: Study, confirming: Study) -> str:
    """What was run next less what the first report takes by its default, paired by seed."""
    found = outlook(study.sweep, study.trials)
    taken = found.courses[int(found.measured()["forgetting"].eq(found.cap()).to_numpy().argmax())]
    rows = []
    for one in courses(confirming.sweep, confirming.trials):
        each = (
            confirming.by_seed({one.setting: 1.0}, measure)
            - study.by_seed({taken.setting: 1.0}, measure)
            for measure in MEASURES
        )
        rows.append([*_named(one), *(interval(student(gap)) for gap in each)])
    heading = "peak, less {} and {} replay".format(*_named(taken))
    return markdown((heading, "replay", *MEASURES), rows)


def confirmed(study: Study, confirming: Study) -> str:
    """What the first study alone predicts of the settings of the second, beside what they gave.

    Raises:
        ValueError: Nothing that was fitted to the first study holds on both data sets.
    """
    found = outlook(study.sweep, study.trials)
    if not found.holding():
        raise ValueError(f"{study.name}: neither the law nor the surface holds, so none predicts")
    run = courses(confirming.sweep, confirming.trials)
    predicted = found.predict(found.holding()[0], run).to_dict("records")
    rows = []
    for one, told in zip(run, predicted, strict=True):
        cells = []
        for measure in MEASURES:
            low, high = (signed(told[f"{measure}_{end}"], DIGITS) for end in ("low", "high"))
            cells.append(f"{signed(told[measure], DIGITS)} ({low} to {high})")
            cells.append(_measured(confirming, one, measure))
        rows.append([*_named(one), *cells])
    headings = [f"{measure}, {word}" for measure in MEASURES for word in ("predicted", "measured")]
    return markdown(("peak", "replay", *headings), rows)


def _named(one: Course) -> list[str]:
    peak = "not re-warmed" if math.isnan(one.peak) else f"{one.peak:g}"
    return [peak, f"{one.replay:.1%}"]


def _measured(study: Study, one: Course, measure: str) -> str:
    return interval(student(study.by_seed({one.setting: 1.0}, measure)))
