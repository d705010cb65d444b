"""What trackers hold, read back without any code that wrote it: (name, step, value) of each run."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpt.records import StateDir
from cpt.rows import current_rows, read_rows

Point = tuple[str, int, float]


def in_tree(state: StateDir) -> list[Point]:
    """Every number of the rows that count of a state, by the names that the docs promise."""
    points: list[Point] = []
    for row in current_rows(read_rows(state.train_rows), lambda row: row["step"]):
        points += numbers("", row)
    for kind, rows, whole in (
        ("eval", state.eval_rows, "dataset"),
        ("data", state.data_rows, "source"),
    ):
        kept = current_rows(
            read_rows(rows), lambda row, whole=whole: (row["step"], row[whole], row["domain"])
        )
        for row in kept:
            domain = "" if row["domain"] is None else f"/{row['domain']}"
            points += numbers(f"{kind}/{row[whole]}{domain}/", row)
    return sorted(points)


def numbers(prefix: str, row: Any) -> list[Point]:
    return [
        (prefix + name, row["step"], float(value))
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float)
    ]


def in_tensorboard(folder: Path) -> list[Point]:
    """Of one run: length, checksum, event and checksum, again and again, in each of its files."""
    from tensorboardX.proto.event_pb2 import Event

    points: list[Point] = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        at = 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += 12 + length + 4
            points += [
                (value.tag, event.step, value.simple_value)
                for value in event.summary.value
                if value.HasField("simple_value")
            ]
    return sorted(points)


def in_mlflow(uri: str, run: str) -> list[Point]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    return sorted(
        (name, one.step, one.value)
        for name in client.get_run(run).data.metrics
        for one in client.get_metric_history(run, name)
    )


def in_wandb(file: Path) -> list[Point]:
    """Of one offline run: W&B's records, in the framing of LevelDB's log."""
    import json

    from wandb.proto.wandb_internal_pb2 import Record

    points: list[Point] = []
    for content in _framed(file.read_bytes()):
        record = Record.FromString(content)
        if record.WhichOneof("record_type") != "history":
            continue
        items = {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item
        }
        step = int(items.pop("_step"))
        points += [
            (name, step, float(value)) for name, value in items.items() if not name.startswith("_")
        ]
    return sorted(points)


def _framed(content: bytes) -> Iterator[bytes]:
    """Each record of the file: after 7 bytes, blocks of 32 KiB of pieces."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        left = 2**15 - at % 2**15
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        piece = content[at + 7 : at + 7 + length]
        at += 7 + length
        whole = piece if kind in (1, 2) else whole + piece
        if kind in (1, 4):
            yield whole
