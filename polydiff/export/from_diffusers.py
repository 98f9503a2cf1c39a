"""Import from diffusers: a folder of a pipeline becomes a run, which is sampled, judged and trained further here.

The folder has unet/ (UNet2DModel or UNet2DConditionModel) or transformer/ (DiTTransformer2DModel), and scheduler/. The
run has the same network (backbone.name=diffusers), pixels in [-1, 1] as states (data.standardise=false), and the
schedule and the prediction of the scheduler. It samples by DDIM at the timesteps of the scheduler. Estimates are not
clipped, whatever `clip_sample` says, since other samplers are not made for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from polydiff.config.keys import checked
from polydiff.config.merge import resolve
from polydiff.config.processes import build_denoiser
from polydiff.config.saved import resolved_text
from polydiff.contract.backbone import backbone_config_class, load_backbone_spec
from polydiff.contract.discover import build_domain, missing_modules
from polydiff.export.diffusers import BETAS, OPTIONS, PREDICTIONS
from polydiff.export.program import quiet
from polydiff.run.checkpoint import Checkpoint, load_weights
from polydiff.run.folder import Run
from polydiff.support.errors import UserError, one_line
from polydiff.support.files import check_free, folder_atomic, read_json, write_atomic
from polydiff.support.progress import log
from polydiff.support.yaml_text import dump_yaml

EMBEDS = "UNet2DConditionModel"
"""Class of a network that attends to an embedding."""
NETWORKS = {
    "UNet2DModel": "num_class_embeds",
    EMBEDS: "num_class_embeds",
    "DiTTransformer2DModel": "num_embeds_ada_norm",
}
"""Class of a network that is imported -> its argument that counts classes."""
FREE = {"data.path", "loss.times", "loss.times_options", "sample.guidance", "sample.sampler", "sample.steps"}
"""Keys with a default of the import that a user may set otherwise; the others follow from the pipeline."""
FLAGS = ("use_flow_sigmas", "thresholding")
"""Settings of schedulers that have no counterpart here."""
PLACES = ("leading", "trailing", "linspace")
"""Values of `timestep_spacing`."""
STEPS = 50
"""Steps of sampling, as in pipelines of diffusers."""
LABEL, EMBEDDING = "label", "embedding"
"""Names of the condition of a network with classes, and of what a UNet2DConditionModel attends to."""


def read(folder: Path, output: Path, values: Mapping[str, Any]) -> None:
    """Write a run from a folder of diffusers, whole or not at all.

    Arguments:
        folder: Folder of a pipeline.
        output: The run's folder, which must not exist or be empty.
        values: Dotted keys of the run's configuration, such as data.path, images to judge it and to train it further.

    Raises:
        UserError: The folder is no such pipeline, or a part of it has no counterpart here.
    """
    check_free(output, advice := "Choose another -o.")
    if missing_modules(["diffusers"]):
        raise UserError('The import needs diffusers. Type: pip install "polydiff[diffusers]"')
    network, scheduler = network_of(folder), scheduler_of(folder)
    kind, arguments = type(network).__name__, dict(network.config)
    weights, classes = weights_of(network)
    side = arguments.get("sample_size")
    if not isinstance(side, int):
        if not side or len(set(side)) > 1:
            raise UserError(f"{folder}: sample_size={side}; only square images are imported.")
        side = side[0]
    channels = arguments["in_channels"]
    width = attended(arguments, folder) if kind == EMBEDS else 0
    for name in ("in_channels", NETWORKS[kind]):  # these follow from the data
        arguments.pop(name)
    own: dict[str, Any] = {
        "data.path": str(folder.absolute()),
        "data.size": side,
        "data.channels": channels,
        "data.standardise": False,
        "backbone.name": "diffusers",
        "backbone.model": kind,
        "backbone.arguments": {k: v for k, v in arguments.items() if not k.startswith("_") and v is not None},
        **schedule_values(scheduler, folder),
        "loss.times": "uniform",
        "loss.times_options": {},
        "sample.guidance": 1.0,
        **({} if classes else {"data.labels": "none"}),
        **({"data.conditions": [EMBEDDING]} if width else {}),
    }
    check_values(values, own.keys() - FREE, folder)
    with naming(folder):
        backbone = {key.partition(".")[2]: value for key, value in own.items() if key.startswith("backbone.")}
        checked(backbone_config_class(load_backbone_spec("diffusers")), backbone)
    settings = resolve("image", values={**own, **values})
    names = [str(i) for i in range(classes)]
    label = {LABEL: {"type": "classes", "names": names, "counts": [1] * classes}} if classes else {}
    field = {"type": "embedding", "width": width, "longest": 1, "scale": 1.0}
    conditions = {**label, **({EMBEDDING: field} if width else {})}
    statistics = {"mean": [0.0] * channels, "std": 1.0, "conditions": conditions}
    domain = build_domain(settings.config, statistics)
    denoiser = build_denoiser(settings.config, domain, torch.device("cpu"))
    tensors = {f"backbone.model.{name}": value for name, value in weights.items()}
    load_weights(denoiser, {**denoiser.state_dict(), **tensors}, str(folder))
    state = {
        "config": settings.config.model_dump(mode="json"),
        "provenance": settings.provenance,
        "statistics": statistics,
        "parents": {},
    }
    found = denoiser.state_dict()
    with folder_atomic(output, new=advice) as draft:
        run = Run(draft)
        Checkpoint(0, state, found, found, {}).save(run.checkpoints)
        write_atomic(run.input, dump_yaml(settings.user_values, {}))
        write_atomic(run.resolved, resolved_text(settings.config, settings.provenance))


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Begin the message of a UserError with a folder."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error


def check_values(values: Mapping[str, Any], fixed: Set[str], folder: Path) -> None:
    """Raise UserError if a value is given for a key that follows from the pipeline."""
    for key in values:
        if any(key == name or key.startswith(f"{name}.") for name in fixed):
            raise UserError(f"{key} follows from {folder}, whose network was trained so. Leave it out.")


def attended(arguments: Mapping[str, Any], folder: Path) -> int:
    """Return the width of the embedding that a UNet2DConditionModel attends to.

    Raises:
        UserError: Its layers attend to several widths.
    """
    width = arguments["cross_attention_dim"]
    if not isinstance(width, int):
        raise UserError(f"{folder}: cross_attention_dim={width}; only embeddings of one width are imported.")
    return width


def network_of(folder: Path) -> Any:
    """Return the network of a pipeline, in float32."""
    import diffusers

    index = read_json(folder / "model_index.json")
    if encoders := [name for name in ("vae", "vqvae") if index.get(name)]:
        raise UserError(
            f"{folder} works with {encoders[0]}, whose counterpart here is another run; only pipelines of a network "
            "of pixels and a scheduler are imported."
        )
    if index.get("text_encoder"):
        log(f"The text encoder of {folder} is not imported: the condition {EMBEDDING} takes its hidden states.")
    parts = [folder / name for name in ("unet", "transformer") if (folder / name / "config.json").is_file()]
    if not parts:
        raise UserError(
            f"{folder} has neither unet/config.json nor transformer/config.json: it is no pipeline of diffusers."
        )
    name = read_json(parts[0] / "config.json").get("_class_name")
    if name not in NETWORKS:
        *most, last = NETWORKS
        raise UserError(f"{parts[0]} is a {name}; only {', '.join(most)} and {last} are imported.")
    try:
        with quiet():
            made = getattr(diffusers, name).from_pretrained(
                parts[0], local_files_only=True, low_cpu_mem_usage=False, torch_dtype=torch.float32
            )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(f"{parts[0]} cannot be read: {one_line(error)[:300]}") from error
    return made.eval()


def scheduler_of(folder: Path) -> Any:
    """Return the scheduler of a pipeline."""
    import diffusers

    path = folder / "scheduler"
    name = read_json(path / "scheduler_config.json").get("_class_name")
    if not (isinstance(name, str) and name.endswith("Scheduler") and hasattr(diffusers, name)):
        raise UserError(f"{path / 'scheduler_config.json'} names no scheduler of diffusers (_class_name={name}).")
    try:
        with quiet():
            scheduler = getattr(diffusers, name).from_pretrained(path, local_files_only=True)
    except (TypeError, ValueError, RuntimeError, OSError, ImportError, NotImplementedError) as error:
        raise UserError(f"{path / 'scheduler_config.json'} cannot be used by {name}: {one_line(error)}") from error
    if not hasattr(scheduler, "alphas_cumprod"):
        raise UserError(
            f"{path}: {name} has no betas; only schedulers like DDPMScheduler and DDIMScheduler are imported."
        )
    return scheduler


def schedule_values(scheduler: Any, folder: Path) -> dict[str, Any]:
    """Return the keys of a run that follow from a scheduler."""
    config = scheduler.config
    kinds = {theirs: ours for ours, theirs in BETAS.items()}
    predictions = {theirs: ours for ours, (theirs, sign) in PREDICTIONS.items() if sign == 1}
    prediction, kind = config.get("prediction_type", "epsilon"), config.get("beta_schedule")
    if config.get("trained_betas") is not None or kind not in kinds:
        raise UserError(
            f"{folder / 'scheduler'}: betas of its own or beta_schedule={kind}; only {', '.join(kinds)} are imported."
        )
    if prediction not in predictions:
        raise UserError(
            f"{folder / 'scheduler'}: prediction_type={prediction}; only {', '.join(predictions)} are imported."
        )
    spacing = config.get("timestep_spacing", "leading")
    odd = [f"{name}=true" for name in FLAGS if config.get(name)]
    odd += [] if spacing in PLACES else [f"timestep_spacing={spacing}"]
    if odd:
        raise UserError(f"{folder / 'scheduler'}: {', '.join(odd)}, which has no counterpart here.")
    names = {ours: theirs for ours, theirs in OPTIONS.items() if ours == "T" or kind != "squaredcos_cap_v2"}
    options = {ours: config[theirs] for ours, theirs in names.items()}
    if config.get("rescale_betas_zero_snr"):
        options["zero_terminal_snr"] = True
    place = {"place": spacing}
    if place["place"] == "leading" and config.get("steps_offset"):
        place["offset"] = config["steps_offset"]
    return {
        "schedule": kinds[kind],
        "schedule_options": options,
        "target": predictions[prediction],
        "sample.sampler": "ddim",
        "sample.steps": min(STEPS, options["T"]),
        "sample.spacing": "timesteps",
        "sample.spacing_options": place,
    }


def weights_of(network: Any) -> tuple[dict[str, torch.Tensor], int]:
    """Return the weights of a network of diffusers and its number of classes, 0 for none.

    A UNet2DModel has no embedding of a class that is not given. The run's network has: the mean of the others.
    """
    weights = dict(network.state_dict())
    classes = network.config.get(NETWORKS[type(network).__name__]) or 0
    name = "class_embedding.weight"
    if name in weights:
        weights[name] = torch.cat([weights[name], weights[name].mean(0, keepdim=True)])
    return weights, classes
