"""A trained state as a Hugging Face folder: weights, tokenizer, and a card with its recipe."""

from pathlib import Path

import torch

from cpt import checkpoint
from cpt.checkpoint_reading import UnsafeCheckpointError
from cpt.config import RunConfig
from cpt.files import read_json, write_text
from cpt.hub_export import model_type, published, write_model
from cpt.hub_tokenizer import write_tokenizer
from cpt.model import GPT
from cpt.parallel import Workers
from cpt.parsing import ConfigError, parse
from cpt.records import ResultTree, StateDir, StatusWord
from cpt.token_store import CorpusMeta

_CARD = "README.md"


def export_state(
    state: StateDir, folder: Path, dtype: torch.dtype = torch.float32
) -> tuple[str, ...]:
    """Writes the final weights of a state, its tokenizer and its recipe.

    The model may be used on as many positions as it was trained for: its `max_sequence_length`,
    else the sequence length of the stage.

    Args:
        state: Of a result tree, complete.
        folder: Where; must not exist, or be empty.
        dtype: What the weights are stored in: torch.float32, bfloat16 or float16.

    Returns:
        Sentences about what could not be exported: a tokenizer that is no longer found.

    Raises:
        ConfigError: There is no such state, or it is not complete or damaged; or as
            `cpt.hub_export.export`.
    """
    config = complete_config(state)
    positions = config.model.max_sequence_length or config.sequence_length
    shape = config.model.model_copy(update={"max_sequence_length": positions})
    told: tuple[str, ...] = ()
    with published(folder) as aside:
        with torch.device("meta"):
            model = GPT(config.model)
        model.to_empty(device="cpu")
        alone = Workers(rank=0, world_size=1, device=torch.device("cpu"))
        try:
            checkpoint.load_weights(state, model, alone)
        except (checkpoint.DamagedCheckpointError, UnsafeCheckpointError) as error:
            raise ConfigError([f"{state.path} is damaged: {error}."]) from error
        end_of_text = None
        try:
            meta = _corpus(state, config)
            end_of_text = meta.end_of_text
            write_tokenizer(meta, aside, positions)
        except ConfigError as error:
            told = tuple(f"exported without a tokenizer: {fault}" for fault in error.faults)
        write_model(shape, model.named_parameters(), aside, dtype=dtype, end_of_text=end_of_text)
        write_text(aside / _CARD, recipe(config))
    return told


def recipe(config: RunConfig) -> str:
    """What made a state, in Markdown: facts of its `config.json` alone."""
    began = "random weights"
    if config.parent is not None:
        began = f"state `{config.parent}`"
    elif config.weights is not None:
        began = f"weights `{config.weights}`, from elsewhere"
    schedule = f"{config.schedule.type}, peak rate {config.schedule.max_lr:g}"
    steps = f"{config.end_step:,}"
    if config.is_beginning:
        steps += f" of {config.total_steps:,}; the schedule goes on"
    facts = {
        "State": f"`{config.state_id}`",
        "Model": f"{model_type(config.model)}, {config.model.num_parameters:,} parameters",
        "Started from": began,
        "Tokens": f"{config.token_budget:,}",
        "Steps": steps,
        "Sequences per step": f"{config.global_batch_size:,} of {config.sequence_length:,} tokens",
        "Learning rate": schedule,
        "Precision": config.precision,
        "Seed": str(config.seed),
    }
    samples = config.source_samples()
    sources = [
        f"| {source.label} | {count * config.sequence_length:,} | {count / sum(samples):.4g} |"
        for source, count in zip(config.stream, samples, strict=True)
    ]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "---",
        "",
        f"# {config.label}",
        "",
        "Trained with rewarm.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
        "Read in this stage; all data sets but the last are replay:"
        if len(config.shares) > 1
        else "Read:",
        "",
        "| source | tokens | share |",
        "|---|---|---|",
        *sources,
    ]
    return "\n".join(lines) + "\n"


def complete_config(state: StateDir) -> RunConfig:
    """The configuration of a state whose final weights can be had.

    Raises:
        ConfigError: There is no such state, or it is not complete, or damaged.
    """
    if not state.config.is_file():
        raise ConfigError(
            [f"{state.path} is no state; name a folder below the states of a result tree."]
        )
    try:
        status = state.read_status()
        if status is None or status.status is not StatusWord.COMPLETE:
            word = "not started" if status is None else f"{status.status} at step {status.step}"
            raise ConfigError(
                [f"{state.path} is {word}; must be complete: rewarm run SPEC trains what is left."]
            )
        if fault := state.checkpoint_fault(status.step):
            raise ConfigError([f"{state.path} is damaged: {fault}."])
        return parse(RunConfig, read_json(state.config))
    except ConfigError:
        raise
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError([f"{state.path} is damaged: {error}."]) from error


def _corpus(state: StateDir, config: RunConfig) -> CorpusMeta:
    """What is known of the store that the first source was read from."""
    path, tree = state.corpus, ResultTree(state.path.parent.parent)
    if not path.exists():  # trained before states kept it themselves
        path = tree.tokens(config.stream[0].corpus) / "meta.json"
    try:
        meta = parse(CorpusMeta, read_json(path))
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}, which names it, cannot be read ({error})."]) from error
    # One that was trained for a sweep was called by its path on the machine that packed the text.
    named = Path(meta.tokenizer)
    if named.parent.parent.name == "tokenizers":
        moved = tree.tokenizer(named.parent.name) / named.name
        if moved.is_file():
            return meta.model_copy(update={"tokenizer": str(moved)})
    return meta
