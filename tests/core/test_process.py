"""A process of a third party beside the Gaussian one: masked letters, with mappings as states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polydiff.config.merge import resolve
from polydiff.config.processes import process_of
from polydiff.config.saved import config_from
from polydiff.core.likelihood import Bounds
from polydiff.core.process.abilities import Inpaints, Interpolates, TriesSampler, Varies
from polydiff.core.process.process import PROCESSES
from polydiff.core.process.sampling import Draw
from polydiff.core.space import Batch, Euclidean
from polydiff.core.streams import streams
from polydiff.judging.likelihood import likelihood
from polydiff.model.edit import inpaint, interpolate, vary
from polydiff.model.model import Model
from polydiff.run.checkpoint import Checkpoint
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides
from polydiff.training.checks import check_config

N, LETTERS, MASK = 5, 3, 3


@dataclass(frozen=True)
class Opening:
    """A plan that samples the masked letters one position after the other, from the probabilities of the network."""

    model: Any
    how: Any
    runs: list[Draw] = field(default_factory=list)

    def evaluations(self, guided: bool) -> int:
        return N

    def run(self, draw: Draw, guide: Any = None) -> Any:
        self.runs.append(draw)
        uniform = uniforms(streams(draw.seed, "sample", draw.indices))
        letters = torch.full((len(draw.indices), N), MASK)
        if draw.known is not None:  # known letters are not masked and stay
            x, mask = draw.known
            letters = torch.where(mask["letters"], x["letters"], letters)  # type: ignore[call-overload]
        for place in range(N):
            edges = self.model.denoiser(letters).cumsum(-1)[:, place, :-1]
            drawn = (uniform[:, place, None] >= edges).sum(-1)
            letters[:, place] = torch.where(letters[:, place] == MASK, drawn, letters[:, place])
        return {"letters": letters, "last": letters[:, -1:].double()}


class Table(nn.Module):
    """A network with the same probabilities at each position, given by the bias."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([0.5, 0.3, 0.2]).log())

    def forward(self, letters: Tensor) -> Tensor:
        return self.bias.softmax(-1).expand(*letters.shape, LETTERS)


@dataclass
class Masked:
    """A process with the methods of `polydiff.core.process.process.Process` and no further ability."""

    name: str = "letters"
    plans: list[Opening] = field(default_factory=list)

    def check(self, config: Any) -> None:
        if config.schedule != "edm":
            raise UserError("process=letters has no schedule.")

    def network(self, config: Any, domain: Any, device: torch.device) -> nn.Module:
        return Table().to(device)

    def objective(self, config: Any) -> Any:
        raise NotImplementedError

    def plan(self, model: Any, how: Any) -> Opening:
        self.plans.append(Opening(model, how))
        return self.plans[-1]

    def prior(self, space: Any, generators: Sequence[torch.Generator]) -> Any:
        letters = torch.full((space.batch, N), MASK)
        return {"letters": letters, "last": letters[:, -1:].double()}

    def evaluate(self, network: nn.Module, batch: Batch) -> None:
        network(batch.x["letters"])  # type: ignore[call-overload]


@dataclass
class Inpainting(Masked):
    """The same process with the ability to inpaint."""

    def inpainting(self, model: Any, how: Any, jump: int, resample: int) -> Opening:
        return self.plan(model, how)


def uniforms(generators: Sequence[torch.Generator]) -> Tensor:
    return torch.stack([torch.rand(N, dtype=torch.float64, generator=generator) for generator in generators])


@dataclass
class Words:
    """A domain of words of letters; `blanks` counts the calls of `blank`."""

    conditions: Mapping[str, Any] = field(default_factory=lambda: {"label": 2})
    statistics: Mapping[str, Any] = field(default_factory=dict)
    blanks: int = 0

    def blank(self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]) -> tuple[Euclidean, Any]:
        self.blanks += 1
        n = len(generators)
        return Euclidean(n, (N,)), {"label": torch.full((n,), int(requested.get("label", -1)))}

    def decode(self, x: Mapping[str, Tensor], space: Any) -> list[str]:
        assert torch.equal(x["letters"][:, -1:].double(), x["last"])
        return ["".join("abc?"[letter] for letter in word) for word in x["letters"].tolist()]

    def size(self, split: str) -> int:
        return 4

    def batch(self, split: str, indices: Sequence[int], generators: Any) -> Batch:
        return Batch(torch.zeros(len(indices), N), Euclidean(len(indices), (N,)), None)


@pytest.fixture
def masked() -> Iterator[Masked]:
    # registers the Gaussian process now: `temporary` removes names that a first import in its block registers
    import polydiff.gaussian.process.process  # noqa: F401

    process = Masked()
    with PROCESSES.temporary("letters", process):
        yield process


@pytest.fixture
def model(masked: Masked) -> Model:
    config = resolve("image", words={"process": "letters"}).config
    return Model(config, Words(), process_of(config).network(config, Words(), torch.device("cpu")))  # type: ignore[arg-type]


def test_a_model_samples_by_any_process(model: Model, masked: Masked) -> None:
    """Letters have the frequencies of the network; sample i does not depend on its batch."""
    words = model.sample(2000, seed=3).examples
    letters = "".join(words)
    for letter, share in zip("abc", (0.5, 0.3, 0.2), strict=True):
        assert abs(letters.count(letter) / len(letters) - share) < 4 * (share / len(letters)) ** 0.5
    assert "?" not in letters
    some = [word for part in model.stream(7, first=5, seed=3, batch_size=2) for word in part.examples]
    assert some == list(words[5:12])
    assert model.noise(2).examples == ["?????", "?????"]
    assert model.evaluations(model.plan()) == N


def test_a_request_is_planned_once_and_guidance_reaches_its_batches(model: Model, masked: Masked) -> None:
    model.sample(8, batch_size=2, guidance=2, cond={"label": 1})
    assert len(masked.plans) == 1
    runs = masked.plans[0].runs
    assert [list(draw.indices) for draw in runs] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert all(draw.guided and (draw.weak or {})["label"].tolist() == [-1, -1] for draw in runs)
    model.sample(2, guidance=2)  # no condition is given: nothing to guide away from
    assert not masked.plans[-1].runs[0].guided


def test_a_missing_ability_raises_an_error(model: Model) -> None:
    given = model.domain.batch("test", range(2), [])
    mask = torch.ones(2, N)
    for use, what in [
        (lambda: vary(model, given), "make variations"),
        (lambda: inpaint(model, given, mask), "inpaint"),
        (lambda: interpolate(model, given, given, [0.5]), "interpolate"),
        (lambda: likelihood(model, 2), "bound the likelihood of data"),
    ]:
        with pytest.raises(UserError, match=f"process=letters: this process cannot {what}"):
            use()


def test_known_parts_of_a_state_stay(model: Model) -> None:
    """A state that is a mapping is inpainted with a mask for each part, if the process can inpaint."""
    able = Model(model.config, model.domain, model.denoiser)
    vars(able)["process"] = Inpainting()
    letters = torch.tensor([[0, 1, 2, 0, 1], [2, 2, 2, 2, 2]])
    given = Batch({"letters": letters, "last": letters[:, -1:].double()}, Euclidean(2, (N,)), None)  # type: ignore[arg-type]
    known = torch.tensor([True, True, False, True, False])
    mask: Any = {"letters": known, "last": known[-1:]}
    made = inpaint(able, given, mask).examples
    assert [word[0] + word[1] + word[3] for word in made] == ["aba", "ccc"]
    assert inpaint(able, given, mask, seed=1).examples != made
    with pytest.raises(UserError, match="inpaint: mask must be a mapping with a mask for each part of the state: let"):
        inpaint(able, given, known)


def test_a_process_checks_its_configuration(model: Model) -> None:
    check_config(model.config)
    with pytest.raises(UserError, match="process=letters has no schedule"):
        check_config(model.config.model_copy(update={"schedule": "flow"}))
    sample = model.config.sample.model_copy(update={"guide": "somewhere", "guidance": 1.0})
    with pytest.raises(UserError, match="A guide has no effect at guidance 1"):
        check_config(model.config.model_copy(update={"sample": sample}))
    with pytest.raises(UserError, match=r"Unknown process 'gausian'\. Did you mean 'gaussian'\?"):
        check_config(model.config.model_copy(update={"process": "gausian"}))


def test_a_configuration_without_a_process_is_gaussian() -> None:
    config = resolve("image").config
    old = {name: value for name, value in config.model_dump(mode="json").items() if name != "process"}
    assert config_from(old, "somewhere").process == "gaussian"
    gaussian = process_of(config)
    for ability in (Bounds, Inpaints, Interpolates, TriesSampler, Varies):
        assert provides(gaussian, ability)


def test_weights_of_a_checkpoint_are_loaded_into_any_network(model: Model, tmp_path: Any) -> None:
    """Saving and loading need nothing of a network but its state."""
    state = model.denoiser.state_dict()
    checkpoint = Checkpoint(3, {"config": {}}, state, state, {}).save(tmp_path)
    from polydiff.run.checkpoint import load_weights

    with torch.no_grad():
        model.denoiser.bias.zero_()
    load_weights(model.denoiser, Checkpoint.load(checkpoint).model)
    assert model.denoiser.bias.exp().tolist() == pytest.approx([0.5, 0.3, 0.2])
