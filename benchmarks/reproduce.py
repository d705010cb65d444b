"""The paper in miniature: its tables and findings beside what our own runs gave.

    python -m benchmarks.reproduce results [--document docs/reproduction.md]
    python -m benchmarks.reproduce results --against docs/reports

Reads the sweeps `paper-mini-weak`, `-strong`, `-infinite`, `-unchanged` and `-weak-larger`, the
further runs and the shift of our own of a result tree (those that are there) and prints every table
and finding that they give; with a document, writes them between its marks `<!-- name -->` and `<!--
/name -->` instead. Against a folder that holds the `trials.csv` of an earlier run as
`paper-mini-NAME.csv`, says how far trials of the two lie apart.
"""

import argparse
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from analysis.deciding.verdicts import Effect, Verdict, of_all
from analysis.measures import measure_names
from benchmarks.reproduction import shift, tables
from benchmarks.reproduction.findings import SHIFTS, findings
from benchmarks.reproduction.further import FURTHER
from benchmarks.reproduction.study import Study

OWN_SHIFT = ("code", "code-next")
STUDIES = (*SHIFTS, "infinite", "unchanged", "weak-larger", *FURTHER, *OWN_SHIFT)
MOST_SHOWN = 6
"""Where a finding has more effects, the one that decides stands for all."""
VERDICTS = {
    Verdict.SUPPORTED: "**as in the paper**",
    Verdict.CONTRADICTED: "**otherwise**",
    Verdict.UNDECIDED: "open",
}


def read(storage: Path) -> dict[str, Study]:
    """The studies that a result tree holds, by name."""
    folders = {name: storage / "sweeps" / f"paper-mini-{name}" for name in STUDIES}
    return {name: Study(folder) for name, folder in folders.items() if folder.exists()}


def parts(studies: Mapping[str, Study]) -> dict[str, str]:
    """Every table that these studies give, by its name."""
    each: dict[str, Callable[[Study], str]] = {
        "replay": tables.replay,
        "peaks": tables.peaks,
        "references": tables.references,
        "warmups": tables.warmups,
        "schedules": tables.schedules,
    }
    found = {
        f"{name}-{shift_name}": draw(studies[shift_name])
        for name, draw in each.items()
        for shift_name in SHIFTS
        if shift_name in studies
    }
    if "weak-larger" in studies:
        found["larger"] = tables.larger(studies["weak-larger"])
    # Its centre is that of the weak shift, the same states.
    if studies.keys() >= {"weak-larger", "weak-additive"}:
        found["sizes"] = tables.sizes(studies["weak-additive"], studies["weak-larger"])
    if "infinite" in studies:
        found["parts"] = tables.parts(studies["infinite"])
    if studies.keys() >= {*SHIFTS, "unchanged"}:
        found["dips"] = tables.dips(studies)
    if studies.keys() >= set(SHIFTS):
        found["findings"] = findings_table(studies)
    if "weak-warmup" in studies:
        found["warmups-by-peak"] = tables.warmups_by_peak(studies["weak-warmup"])
    if "weak-domains" in studies:
        found["domains"] = tables.domains(studies["weak-domains"])
    found |= {f"further-{name}": further(studies[name]) for name in FURTHER if name in studies}
    if "code" in studies:
        found["code"] = shift.settings(studies["code"])
        found["code-contrasts"] = shift.contrasts(studies["code"])
    if studies.keys() >= set(OWN_SHIFT):
        own = [studies[name] for name in OWN_SHIFT]
        found["code-confirmed"] = shift.confirmed(*own)
        found["code-gained"] = shift.gained(*own)
    return found


def findings_table(studies: Mapping[str, Study]) -> str:
    """All findings, with the intervals that decide each."""
    rows = []
    for number, finding in findings(studies).items():
        verdict, decisive = of_all(finding.effects)
        shown = finding.effects if len(finding.effects) <= MOST_SHOWN else decisive
        told = [effect(one) for one in shown]
        if len(shown) < len(finding.effects):
            told.append(f"({len(shown)} of {len(finding.effects)}: what decides)")
        rows.append(
            [str(number), finding.sentence, finding.paper, "<br>".join(told), VERDICTS[verdict]]
        )
    return tables.markdown(("", "the paper's finding", "its numbers", "ours", "verdict"), rows)


def further(study: Study) -> str:
    """What one further run says of the findings that it was made for."""
    rows = []
    for number, test in FURTHER[study.name].items():
        effects = test(study)
        told = "<br>".join(effect(one) for one in effects)
        rows.append([str(number), told, VERDICTS[of_all(effects)[0]]])
    return tables.markdown(("finding", "ours", "verdict"), rows)


def effect(one: Effect) -> str:
    """`weak: ...: +0.061 [+0.055, +0.067]`, and the range that it needs unless that is above 0."""
    ends = ", ".join(tables.signed(end, 3) for end in (one.low, one.high))
    told = f"{one.text}: {tables.signed(one.value, 3)} [{ends}]"
    if one.at_least == -one.at_most:
        return f"{told}, within {tables.PLUS_MINUS}{one.at_most:.3f}"
    if one.at_most < math.inf:
        return f"{told}, below {one.at_most:.3g}"
    return told if one.at_least == 0 else f"{told}, above {one.at_least:.3g}"


def written(document: str, found: Mapping[str, str]) -> str:
    """The document with its tables replaced.

    Raises:
        ValueError: It has no place for one of them.
    """
    for name, table in found.items():
        marks = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
        if not pattern.search(document):
            raise ValueError(f"the document has no {marks[0]} ... {marks[1]}")
        filled = f"{marks[0]}\n{table}\n{marks[1]}"
        document = pattern.sub(lambda _, filled=filled: filled, document)
    return document


def apart(study: Study, earlier: pd.DataFrame) -> list[str]:
    """A row: how many trials two runs share and are equal to the bit, and the largest gaps.

    The first gap is that of a single trial, the second that of what tables tell: a setting less
    the centre, the mean over seeds.

    Args:
        study: As it was run now.
        earlier: The `trials.csv` of another run.
    """
    names = measure_names(study.sweep.roles)
    now, then = (table.set_index("trial")[names] for table in (study.trials, earlier))
    both = now.index.intersection(then.index)
    gaps = (now.loc[both] - then.loc[both]).abs()
    equal = int((gaps == 0).all(axis=1).sum())
    settings = study.trials.set_index("trial").loc[both, "setting"]
    (center,) = study.center
    means = [table.loc[both].groupby(settings).mean() for table in (now, then)]
    told, before = (table - table.loc[center] for table in means)
    largest = [gaps.max().max(), (told - before).abs().max().max()]
    return [
        study.name,
        f"{len(both)} of {len(now)}",
        str(equal),
        *(f"{gap:.2g}" for gap in largest),
    ]


def main() -> int:
    """Prints, or writes into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("storage", type=Path)
    parser.add_argument("--document", type=Path)
    parser.add_argument("--against", type=Path)
    arguments = parser.parse_args()
    studies = read(arguments.storage)
    if arguments.against is not None:
        files = {name: arguments.against / f"paper-mini-{name}.csv" for name in studies}
        rows = [
            apart(studies[name], pd.read_csv(file)) for name, file in files.items() if file.exists()
        ]
        headings = (
            "study",
            "trials in both",
            "equal to the bit",
            "largest gap of a trial, nats",
            "of a setting less the centre",
        )
        print(tables.markdown(headings, rows))
        return 0
    found = parts(studies)
    if arguments.document is None:
        for name, table in found.items():
            print(f"\n{name}\n\n{table}")
    else:
        text = arguments.document.read_text(encoding="utf-8")
        arguments.document.write_text(written(text, found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
