"""No test reaches a network or writes into the user's Hugging Face cache."""

import os
import tempfile
from pathlib import Path

import pytest

# Read when `datasets` and `huggingface_hub` are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="rewarm-tests-hf-")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real corpora and a real tokenizer, beside the checkout."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real corpora at {path}")
    return path
