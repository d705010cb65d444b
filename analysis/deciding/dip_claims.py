"""What the paper found of the dip: re-warming causes one even where the data stays the same."""

from analysis import labels
from analysis.deciding.evidence import NATS, Evidence
from analysis.deciding.lacking import UNFINISHED, judged, untestable, without_baseline
from analysis.deciding.verdicts import Claim, Effect, Verdict, of_all
from analysis.dips import dip_table, student
from analysis.settings import around

MEASURE = "rise"


def dip_on_unchanged_data(evidence: Evidence) -> Claim:
    """D0 loss rises further above its start with re-warming than without, on data like D0.

    Testable where the stage after pre-training has D0's own held-out corpus. The rise is the
    largest loss after step 0 less that at step 0; with and without re-warming are paired by seed.
    """
    name, sentence = "dip", "Re-warming alone causes a dip, on unchanged data too."
    sweep = evidence.sweep
    if not unchanged(evidence):
        old = sweep.dataset("d0")
        return untestable(
            name,
            sentence,
            f"The stage after pre-training brings other data than {old}, so a dip is that of "
            "re-warming and of the shift together.",
            f"downstream:\n  dataset: {old}\nbaselines: [no_rewarm]",
        )
    dips = dip_table(sweep, evidence.complete, stage=1).set_index("trial")["d0_rise"]
    warmed = around(evidence.complete, "", evidence.center)
    resting = evidence.baseline("no_rewarm")
    if resting is None or warmed.empty:
        return without_baseline(evidence, name, sentence, "no_rewarm")
    still = evidence.complete[evidence.complete["setting"] == resting]
    rises = [
        rows.drop_duplicates("seed").set_index("seed")["trial"].map(dips)
        for rows in (warmed, still)
    ]
    found = student(rises[0] - rises[1])
    if not found.seeds:
        return untestable(name, sentence, UNFINISHED)
    effect = Effect(
        text=f"rise of D0 loss: {labels.center_name(sweep)} minus {evidence.name(resting)}",
        measure=MEASURE,
        unit=NATS,
        value=found.value,
        low=found.low,
        high=found.high,
        at_least=0.0,
        settings=(str(warmed["setting"].iloc[0]), resting),
        seeds=found.seeds,
    )
    verdict, decisive = of_all([effect])
    why = {
        Verdict.SUPPORTED: "D0 loss rises further with re-warming than without, though the data "
        "is the same.",
        Verdict.CONTRADICTED: "D0 loss rises no further with re-warming than without.",
        Verdict.UNDECIDED: "The rise with re-warming is not told apart from that without.",
    }[verdict]
    return judged(name, sentence, verdict, why, [effect], decisive)


def unchanged(evidence: Evidence) -> bool:
    """Whether the first stage after pre-training is evaluated on D0's own held-out corpus."""
    plan = evidence.sweep.plan
    old, new = (plan["datasets"][stage["dataset"]]["validation"] for stage in plan["stages"][:2])
    return bool(old == new)
