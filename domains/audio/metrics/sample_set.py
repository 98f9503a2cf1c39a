"""Metrics of sets of samples, computed independently of the model and the synthesiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from polydiff.contract.domain import Samples
from polydiff.domains.audio import optional_imports as optional
from polydiff.domains.audio.data.notes import note_name
from polydiff.domains.audio.metrics.clip_features import SILENT, Measured
from polydiff.domains.audio.metrics.judge import Judge
from polydiff.domains.audio.metrics.pitch import Pitch, detect_pitch
from polydiff.domains.audio.metrics.reference import COMPARED, Reference, portraits
from polydiff.domains.audio.spectrogram import VERSION
from polydiff.metrics.classifier import am_score, inception_score, modified_inception_score
from polydiff.metrics.copies import copy_share, nearest
from polydiff.metrics.frechet import frechet_of_subsets
from polydiff.metrics.least import too_few
from polydiff.metrics.results import Confusion, Metric
from polydiff.metrics.standard_error import Number
from polydiff.metrics.wasserstein import wasserstein

IN_TUNE = 20.0
"""Cents within which a note counts as in tune."""


def audible(name: str) -> Callable[[Measured], Tensor]:
    """Return the function that returns a feature of the clips that are not silent."""
    return lambda clips: getattr(clips, name)[~(clips.level < SILENT)]


DISTRIBUTIONS: Mapping[str, tuple[Callable[[Measured], Tensor], str, str]] = {
    "level": (lambda clips: clips.level, "dB", "loudness (root mean square)"),
    "offset": (lambda clips: clips.offset, "%", "the DC offset, in % of full scale,"),
    "centroid": (audible("centroid"), "Hz", "the mean frequency (of power; silence left out)"),
    "attack": (audible("attack"), "ms", "the attack (rise of the envelope from 10 to 90 %; silence left out)"),
    "ripple": (audible("ripple"), "dB", "the ripple (all rises of the envelope after its maximum; silence left out)"),
}
"""Name -> function of clips, its unit, its description."""


def pitch_metrics(
    sounds: Sequence[Tensor] | Tensor, sample_rate: int, notes: Sequence[int], requested: Tensor | None
) -> dict[str, Metric]:
    """Return the metrics of a pitch tracker.

    Arguments:
        sounds: Clips (C, T), which may differ in length.
        sample_rate: In Hz.
        notes: MIDI number of each class.
        requested: Requested class of each clip, shape (B,), -1 for unconditional ones; None: all are unconditional.
    """
    pitch = detect_pitch(sounds, sample_rate)
    inside = torch.isin(pitch.semitones.round().long(), torch.tensor(notes))
    in_tune = pitch.voiced & inside & (pitch.cents <= IN_TUNE)
    return {
        "pitch_accuracy": Metric(
            pitch_accuracy(pitch, notes, requested),
            "",
            "higher",
            "Share of the clips conditioned on a note in which a pitch tracker (YIN) detects that note; "
            f"chance {1 / len(notes):.3f}, noise 0.",
        ),
        "in_tune": Metric(
            mean(in_tune),
            "",
            "higher",
            f"Share of clips with a pitch within {IN_TUNE:.0f} cents of a note of the data; a random pitch gives 0.40.",
        ),
        "voiced": Metric(
            mean(pitch.voiced),
            "",
            "higher",
            "Share of clips in which the pitch tracker detects a pitch; noise and silence give 0.",
        ),
        "harmonics": Metric(
            mean(pitch.harmonics_to_noise[pitch.voiced]),
            "dB",
            "higher",
            "Mean harmonics-to-noise ratio of the clips with a pitch, in their loudest 128 ms or so. Notes that decay "
            "fast or have few samples a period have less: compare it with that of real data.",
        ),
    }


def pitch_accuracy(pitch: Pitch, notes: Sequence[int], requested: Tensor | None) -> float:
    """Return the share of clips with a requested note (>= 0) whose detected note equals it; NaN without requests."""
    if requested is None:
        return math.nan
    right = pitch.voiced & (pitch.semitones.round().long() == torch.tensor(notes)[requested])
    return mean(right[requested >= 0])


def pitch_confusion(
    sounds: Sequence[Tensor] | Tensor, sample_rate: int, notes: Sequence[int], requested: Tensor
) -> Confusion:
    """Return the confusion of requested and detected notes.

    Detected notes outside the classes count as "other", clips without a pitch as "none".

    Arguments:
        sounds: Clips (C, T), which may differ in length.
        sample_rate: In Hz.
        notes: MIDI number of each class.
        requested: Requested class of each clip, shape (B,), -1 for unconditional ones.
    """
    pitch = detect_pitch(sounds, sample_rate)
    matches = pitch.semitones.round().long()[:, None] == torch.tensor(notes)
    inside, note = matches.any(1), matches.int().argmax(1)
    seen = torch.where(pitch.voiced, torch.where(inside, note, len(notes)), len(notes) + 1)
    return Confusion.of(requested, seen, [note_name(one) for one in notes], ("other", "none"))


def set_metrics(samples: Samples, reference: Reference) -> dict[str, Metric]:
    """Return the metrics of classifiers and of distances between sets; samples may differ in length."""
    judged: dict[str, Metric] = {}
    if reference.judges:
        seen = portraits(samples.examples, reference.sample_rate)
        for name, judge in reference.judges.items():
            judged |= class_metrics(name, seen, (samples.cond or {}).get(name), judge)
    return judged | sound_metrics(Measured.of(samples.examples, reference.sample_rate), reference)


def broken(features: Tensor) -> str:
    """Return why features (B, D) of clips have no distance: some are not finite; "" if all are."""
    lost = int((~features.isfinite().all(1)).sum())
    return f"{lost} of {len(features)} clips have features that are not finite" if lost else ""


def sound_metrics(clips: Measured, reference: Reference) -> dict[str, Metric]:
    """Return the metrics that need no labels.

    Arguments:
        clips: Features of the samples.
        reference: Reference clips.
    """
    known, lacks = reference.known, optional.lacks_torchaudio()
    n, compared = min(len(clips), reference.n), known.features[:COMPARED]
    not_measured = f" Not measured: {lacks}" if lacks else ""
    small = "" if lacks else too_few("frechet", min(n, len(compared)), "clips of each set") or broken(clips.features)
    few = "" if lacks else too_few("copies", reference.n, "held-out clips")
    frechet = Number(math.nan) if lacks or small else frechet_of_subsets(clips.features, compared, n)
    distributions = {
        f"{name}_error": Metric(
            wasserstein(feature(clips), feature(known)),
            unit,
            "lower",
            f"Distance between the distributions of {what} of the clips and of training clips.",
        )
        for name, (feature, unit, what) in DISTRIBUTIONS.items()
    }
    return {
        "log_mel_fd": Metric(
            frechet.value,
            "",
            "lower",
            f"Frechet distance of log-mel features, version {VERSION}, of {n} clips to {len(compared)} of training "
            f"(reference {reference.digest}), the mean over all disjoint sets of this many clips. "
            "The value of real data is the floor at this n; it falls about as 1/n. "
            "Compare only values of equal n, reference and version. They are not comparable with published "
            f"distances.{not_measured}",
            frechet.error,
            n=n,
            reason=small,
        ),
        **distributions,
        "silent": Metric(
            mean(clips.level < SILENT), "", "lower", f"Share of clips below {SILENT:.0f} dB of full scale."
        ),
        "clipped": Metric(
            mean(~(clips.peak <= 1)),
            "",
            "lower",
            "Share of clips that exceed full scale at any sample or contain NaN.",
        ),
        "copies": Metric(
            copy_share(nearest(clips.features, known.features), reference.near),
            "",
            "lower",
            f"Share of clips nearer to one of {len(known)} training clips, in log-mel features, than 99 % of held-out "
            f"clips are: 0.01 by chance, more if training clips are repeated.{not_measured}",
            reason=few,
        ),
    }


def class_metrics(name: str, seen: Tensor, requested: Tensor | None, judge: Judge) -> dict[str, Metric]:
    """Return the metrics of a classifier trained on the labels of this data set.

    Arguments:
        name: The condition.
        seen: Spectrograms of the clips, shape (B, 40, 32).
        requested: Requested class of each clip, shape (B,), -1 for unconditional ones; None: all are unconditional.
        judge: The classifier.
    """
    log_p = judge.log_probabilities(seen)
    classes = log_p.shape[1]
    given = torch.full((len(seen),), -1) if requested is None else requested
    right = (log_p.argmax(1) == given) & log_p.isfinite().all(1)
    accuracy = "" if math.isnan(judge.accuracy) else f", with {100 * judge.accuracy:.1f} % accuracy on held-out clips"
    local = "Not comparable with published scores, which use other classifiers."
    return {
        f"{name}_agrees": Metric(
            mean(right[given >= 0]),
            "",
            "higher",
            f"Share of the clips conditioned on a {name} that a classifier assigns to it. The classifier was trained "
            f"here on training clips only{accuracy}; chance about {1 / classes:.3f}.",
        ),
        f"{name}_local_is": Metric(
            inception_score(log_p),
            "",
            "higher",
            f"Inception score by this classifier, of {len(seen)} clips, one half against the other: 1 at worst, about "
            f"{classes} at best. High if each clip has a clear {name} and all of them occur. {local}",
        ),
        f"{name}_local_mis": Metric(
            modified_inception_score(log_p),
            "",
            "higher",
            "Modified Inception score by this classifier, over all pairs of clips. High if each clip has a clear "
            f"{name} and the clips vary. {local}",
        ),
        f"{name}_local_am": Metric(
            am_score(log_p, judge.known),
            "nats",
            "lower",
            f"AM score by this classifier: the entropy of its prediction for a clip, plus the divergence between the "
            f"frequencies of each {name} in training and in the samples. {local}",
        ),
    }


def mean(flags: Tensor) -> float:
    """Return the share of true flags; NaN if there are none."""
    return float(flags.double().mean())
