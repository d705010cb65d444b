"""No test reaches a network or writes into the user's Hugging Face cache."""

import os
import tempfile

# Read when `datasets` and `huggingface_hub` are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="rewarm-tests-hf-")
