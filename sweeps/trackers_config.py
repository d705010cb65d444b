"""The sweep file's `trackers`: which experiment trackers are shown the rows, and where.

None of it determines a state: it enters no identity.
"""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator

from cpt.parsing import Frozen, Name, Text
from cpt.storage import holds_secret, is_remote

MLFLOW_SCHEMES = ("databricks", "http", "https", "mssql", "mysql", "postgresql", "sqlite")
"""What MLflow opens as a tracking store; a driver may follow, as in `mysql+pymysql`. Directories it
does not open any more."""


def names_someone(uri: str) -> bool:
    """Whether a tracking URI says who may write there.

    A user alone is no secret of a database, but over HTTP it may be a token.
    """
    by_http = uri.startswith(("http://", "https://"))
    return holds_secret(uri) or (by_http and urlsplit(uri).username is not None)


def _tracking_uri(value: str) -> str:
    scheme, separator, _ = value.partition("://")
    is_legal = scheme.split("+")[0] in MLFLOW_SCHEMES and (separator or scheme == "databricks")
    # What names someone is refused by the sweep as a whole, whose sentence does not show it.
    if not is_legal and not names_someone(value):
        raise ValueError(
            "must be the URI of an MLflow server or database, e.g. http://localhost:5000, with a "
            "scheme of these: " + ", ".join(MLFLOW_SCHEMES)
        )
    return value


def _directory(value: str) -> str:
    if is_remote(value):
        raise ValueError("must be a directory: what trackers write to it is appended")
    return value


Directory = Annotated[Text, AfterValidator(_directory)]


class TensorBoard(Frozen):
    """Event files that `tensorboard --logdir` reads.

    Attributes:
        dir: Directory of the machine that drives the sweep; None: `tensorboard` in the sweep's
            folder.
    """

    dir: Directory | None = None


class Mlflow(Frozen):
    """A server or database of MLflow; its keys are taken from the environment.

    Attributes:
        tracking_uri: As MLflow has it: that of its server, or of a database.
        experiment: Its name there; None: the sweep's.
    """

    tracking_uri: Annotated[Text, AfterValidator(_tracking_uri)]
    experiment: Name | None = None


class Wandb(Frozen):
    """Weights & Biases; its key is taken from the environment.

    Attributes:
        project: Its name there.
        mode: offline: written to files alone, which `wandb sync` sends later.
        dir: Directory of the machine that drives the sweep for these files; None: the sweep's
            folder. W&B makes a folder `wandb` in it.
    """

    project: Name
    mode: Literal["online", "offline"] = "online"
    dir: Directory | None = None


class Trackers(Frozen):
    """Which trackers the rows are shown to, beside the result tree; None of them by default."""

    tensorboard: TensorBoard | None = None
    mlflow: Mlflow | None = None
    wandb: Wandb | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """Those that are, by name."""
        return tuple(name for name in Trackers.model_fields if getattr(self, name) is not None)
