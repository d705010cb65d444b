"""The two areas below a learning-rate curve that loss laws are written in.

With eta_1 ... eta_n the rates that the updates of a stage used, after n updates (arXiv 2408.11029)

    S1 = sum over i of eta_i                                             how far training went
    S2 = sum over i, sum over k <= i, of (eta_(k-1) - eta_k) L^(i-k)     how much it annealed

where L, here `decay`, says how long a fall of the rate keeps working. Falls alone count: that paper
begins at the peak, and a re-warming taken for negative annealing would outweigh all that follows it
in a stage of less than 1 / (1 - L) updates. Nor does the jump between two stages count, where the
optimizer begins anew. Both areas are in units of the learning rate, summed over updates.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from cpt import schedule
from cpt.schedule_config import ScheduleConfig

Array = NDArray[np.float64]
DECAY = 0.999
"""What arXiv 2408.11029 uses: a fall of the rate works for about 1,000 updates."""
MOST_READ = 4096
"""Rates of a longer schedule are read at so many steps and straight in between."""


def areas(rates: Array, decay: float = DECAY) -> tuple[Array, Array]:
    """S1 and S2 after every update of a stage.

    The inner sum of S2 obeys m_i = decay m_(i-1) + (eta_(i-1) - eta_i), so both take linear time.

    Args:
        rates: The rate of each update, shape (n,).
        decay: In (0, 1).

    Returns:
        Two arrays of shape (n + 1,), indexed by updates completed; 0 at step 0.
    """
    falls = np.maximum(-np.diff(rates, prepend=rates[:1]), 0.0)
    annealed = np.cumsum(lfilter([1.0], [1.0, -decay], falls)) if len(rates) else falls
    return np.append(0.0, np.cumsum(rates)), np.append(0.0, annealed)


def logged_rates(rows: pd.DataFrame, steps: int) -> Array:
    """The rate of each update of a stage from its rows, which may be thinned.

    A rate that was logged stands as it is. Between two of them it is taken to be straight, before
    the first and after the last to be held: exact but for a warm-up or cosine inside a gap.

    Args:
        rows: Of one stage: `step` (counts the update itself) and `lr`; at least one.
        steps: Updates of the stage.

    Returns:
        Shape (steps,).
    """
    once = rows.drop_duplicates("step", keep="last").sort_values("step")
    return np.asarray(np.interp(np.arange(1, steps + 1), once["step"], once["lr"].to_numpy(float)))


def scheduled_rates(config: ScheduleConfig, steps: int) -> Array:
    """The rate of each update of a stage that was not run: `schedule.lr(step)` for 0 ... steps - 1.

    Args:
        config: Its schedule.
        steps: Updates of the stage; above `MOST_READ` the curve is read at so many of them.

    Returns:
        Shape (steps,).

    Raises:
        ValueError: The phases of the schedule do not fit into so many steps.
    """
    pieces = config.pieces(steps)
    read = np.unique(np.linspace(0, steps - 1, min(steps, MOST_READ)).round())
    return np.interp(np.arange(steps), read, [schedule.lr(pieces, step) for step in read])
