"""The tables of the paper beside ours: differences and orderings, for absolute losses say nothing.

Every number is in nats per token, ours with a 95% interval over seeds, paired.
"""

from collections.abc import Iterable, Mapping, Sequence

from analysis.deciding.contrasts import Weights
from analysis.deciding.noise import Estimate
from analysis.dips import student
from analysis.domains import domain_changes
from benchmarks.reproduction import paper
from benchmarks.reproduction.study import EARLY, Study

SHARES = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5)
ROLES = ("d0", "d1")
LOSSES = ("d0_loss", "d1_loss", "mean_loss")
HEADINGS = ("paper D0", "ours D0", "paper D1", "ours D1", "paper mean", "ours mean")
MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def replay(study: Study) -> str:
    """Final losses with replay less those without (table 2)."""
    none, known = study.at("replay_fraction", 0), paper.REPLAY[study.name]
    known = {**known, "union": paper.REFERENCES[study.name]["union"]}
    others = {share: study.at("replay_fraction", share) for share in SHARES}
    rows = [
        _beside(
            "union" if name == "union" else f"{name:.1%}",
            _apart(known.get(name), known[0]),
            _differences(study, one, none),
        )
        for name, one in [*others.items(), ("union", study.baseline("union"))]
    ]
    return markdown(("replay, less 0%", *HEADINGS), rows)


def peaks(study: Study) -> str:
    """Final losses with another peak less those with the peak of pre-training (table 12)."""
    known = paper.PEAKS[study.name]
    low, same, high = study.evidence.planned("max_lr")
    others = {
        "not re-warmed": study.baseline("no_rewarm"),
        "0.5": study.at("max_lr", low),
        "2": study.at("max_lr", high),
    }
    rows = [
        _beside(
            name,
            _apart(known[name], known["1"]),
            _differences(study, one, study.at("max_lr", same)),
        )
        for name, one in others.items()
    ]
    return markdown(("peak, less 1 x pre-training", *HEADINGS), rows)


def references(study: Study) -> str:
    """Losses of what was not continued, less those of continuing without replay (section 6.3)."""
    return markdown(("less continuing without replay", *HEADINGS), _references(study))


def larger(study: Study) -> str:
    """The same of a larger model, and those of 5% replay (table 4)."""
    known, some = paper.REPLAY[study.name], study.at("replay_fraction", 0.05)
    row = _beside(
        "5% replay", _apart(known[0.05], known[0]), _differences(study, some, study.center)
    )
    return markdown(("less continuing without replay", *HEADINGS), [*_references(study), row])


def sizes(smaller: Study, larger: Study) -> str:
    """The larger model's less the smaller one's, both continued without replay, paired by seed."""
    rows = []
    for measure in ("forgetting", "adaptation", *LOSSES[:2]):
        one, other = (study.by_seed(study.center, measure) for study in (larger, smaller))
        rows.append([measure.replace("_", " "), interval(student(one - other))])
    return markdown(("continued without replay", "larger less smaller"), rows)


def _references(study: Study) -> list[list[str]]:
    known, continued = paper.REFERENCES[study.name], paper.REPLAY[study.name][0]
    rows = [
        _beside(
            label,
            _apart(known[label], continued),
            _differences(study, study.baseline(baseline), study.center),
        )
        for label, baseline in (("D1 alone", "downstream_only"), ("union", "union"))
    ]
    forgotten, adapted = (
        study.by_seed(study.center, name) for name in ("forgetting", "adaptation")
    )
    ours = [interval(student(each)) for each in (-forgotten, adapted, (adapted - forgotten) / 2)]
    start = _apart(paper.PRETRAINED[study.name], continued)
    return [_beside("pre-trained, D0 alone", start, ours), *rows]


def warmups(study: Study) -> str:
    """Losses with other warm-ups less those with 1%: early, and in the end (figure 3)."""
    middle = study.at("warmup_fraction", 0.01)
    rows = []
    for share in (0, 0.005, 0.02):
        other = study.at("warmup_fraction", share)
        cells = [
            interval(student(study.course(other, role, EARLY) - study.course(middle, role, EARLY)))
            for role in ROLES
        ]
        cells += [interval(study.difference(other, middle, measure)) for measure in LOSSES[:2]]
        rows.append([f"{share:.1%}", *cells])
    steps = f"steps {EARLY[0]} to {EARLY[1]}"
    headings = (f"D0, {steps}", f"D1, {steps}", "D0, final", "D1, final")
    return markdown(("warm-up, less 1%", *headings), rows)


def warmups_by_peak(study: Study) -> str:
    """Losses without warm-up less those with 20 steps of it, early, at every peak."""
    rows = []
    for rate in study.evidence.planned("max_lr"):
        short, long = (study.setting(max_lr=rate, warmup_fraction=share) for share in (0, 0.2))
        each = [
            study.course(short, role, EARLY) - study.course(long, role, EARLY) for role in ROLES
        ]
        rows.append([f"{rate:g}", *(interval(student(one)) for one in each)])
    steps = f"steps {EARLY[0]} to {EARLY[1]}"
    return markdown(("peak", f"D0, {steps}", f"D1, {steps}"), rows)


def schedules(study: Study) -> str:
    """Final losses of other schedules less those of the cosine (figure 4, section 7)."""
    cosine = study.at("schedule", "cosine")
    rows = [
        [name, *_differences(study, study.at("schedule", name), cosine)]
        for name in ("constant", "infinite_cosine", "infinite_inverse_sqrt")
    ]
    return markdown(("schedule, less cosine", "D0", "D1", "mean"), rows)


def dips(studies: Mapping[str, Study]) -> str:
    """The largest rise of D0 loss after re-warming (figure 8).

    Beside it that of going on without re-warming, on the same data.
    """
    rows = []
    for name in ("unchanged", "weak", "strong"):
        study = studies[name]
        rates = study.evidence.planned("max_lr")
        known = paper.RISES.get(name, {})
        for times, rate in (("1", rates[-2]), ("2", rates[-1])):
            rise = study.rises(study.at("max_lr", rate))
            still = study.rises(study.baseline("no_rewarm"))
            told = f"{known[times]:.2f}" if times in known else "not told"
            cells = [interval(student(rise)), interval(student(rise - still))]
            rows.append([f"{name}, {times} x", told, *cells])
    headings = ("paper: rise", "ours: rise", "ours: less not re-warming")
    return markdown(("data, peak", *headings), rows)


def parts(study: Study) -> str:
    """Final losses on each third of one corpus, less those of repeated cosine (figure 10)."""
    cosine = study.at("schedule", "cosine")
    roles = study.sweep.roles
    others = {
        "infinite_cosine": study.at("schedule", "infinite_cosine"),
        "infinite_inverse_sqrt": study.at("schedule", "infinite_inverse_sqrt"),
        "union (one cosine)": study.baseline("union"),
    }
    rows = [
        [
            name,
            *(interval(study.difference(one, cosine, f"{role}_loss")) for role in roles),
            interval(study.difference(one, cosine, "mean_loss")),
        ]
        for name, one in others.items()
    ]
    headings = (*(f"{role.upper()}" for role in roles), "mean")
    return markdown(("less repeated cosine", *headings), rows)


def domains(study: Study) -> str:
    """Forgetting of each domain of D0 by the share of replay, means over seeds."""
    changes = domain_changes(study.sweep, study.trials).query("role == 'd0'")
    by_setting = changes.pivot(index="setting", columns="domain", values="change")
    rows = []
    for share in study.evidence.planned("replay_fraction"):
        (setting,) = study.at("replay_fraction", share)
        rows.append([f"{share:.1%}", *(signed(value, 3) for value in by_setting.loc[setting])])
    return markdown(("replay", *(f"forgetting of {name}" for name in by_setting)), rows)


def interval(found: Estimate) -> str:
    """A value with half its interval."""
    half = f" {PLUS_MINUS} {(found.high - found.low) / 2:.3f}"
    return f"{signed(found.value, 3)}{half}"


def signed(value: float, digits: int = 2) -> str:
    """With its sign; what rounds to nothing has none, and what has no bound is infinity."""
    text = f"{abs(value):.{digits}f}".replace("inf", "\N{INFINITY}")
    if text == f"{0:.{digits}f}":
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _beside(label: str, told: tuple[float | None, float | None], ours: Sequence[str]) -> list[str]:
    """A row: the paper's differences on D0 and D1, and their mean, beside ours."""
    old, new = told
    mean = None if old is None or new is None else (old + new) / 2
    cells = ["not told" if value is None else signed(value) for value in (old, new, mean)]
    return [label, *(cell for pair in zip(cells, ours, strict=True) for cell in pair)]


def _apart(
    one: tuple[float, float | None] | None, other: paper.Pair
) -> tuple[float | None, float | None]:
    if one is None:
        return None, None
    return one[0] - other[0], None if one[1] is None else one[1] - other[1]


def _differences(study: Study, one: Weights, other: Weights) -> list[str]:
    return [interval(study.difference(one, other, measure)) for measure in LOSSES]
