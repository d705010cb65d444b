"""Why a Ray cluster cannot be entered, in a sentence."""

from ray.exceptions import AuthenticationError

REFUSALS = (ConnectionError, AuthenticationError, RuntimeError)
"""What `ray.init` raises of a cluster that is not there, that asks for another token, or whose Ray
or Python is another; the last is a plain RuntimeError."""


def not_entered(address: str, error: BaseException) -> str:
    """Says why, and what to do.

    Args:
        address: As `--address` has it.
        error: One of `REFUSALS`.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    told = f"--address: got {address}, which cannot be entered"
    if "Version mismatch" in lines[0]:
        return f"{told} ({' '.join(lines)}); install the cluster's versions here, or start it anew."
    return (
        f"{told} ({lines[0]}); check that it runs, and where it asks for a token set "
        "RAY_AUTH_MODE=token and give this machine the cluster's ~/.ray/auth_token."
    )
