"""Tests of `polydiff.training.checks`."""

from __future__ import annotations

import pytest
from settings_cases import resolve_words

from polydiff.config.merge import resolve
from polydiff.support.errors import UserError
from polydiff.training.checks import check_config

pytestmark = pytest.mark.usefixtures("ring")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("schedule=edn", "schedule: Unknown schedule 'edn'. Did you mean 'edm'?"),
        ("target=noise", "target: Unknown target 'noise'."),
        ("loss.norm=l3", "loss.norm: Unknown norm 'l3'."),
        ("loss.weighting=minsnr", "Did you mean 'min_snr'?"),
        ("loss.times=log_norm", "Did you mean 'log_normal'?"),
        ("optim.name=adam", "Did you mean 'adamw'?"),
        ("sample.sampler=dpm_2m", "Did you mean 'dpmpp_2m'?"),
        ("sample.spacing=karas", "Did you mean 'karras'?"),
        ("sample.options={et: 1}", "sample.options: Unknown option of the sampler auto 'et'."),
        ("loss.times_options={meen: 1}", "Did you mean 'mean'?"),
        ("schedule_options.rhoo=3", "Did you mean 'rho'?"),
    ],
)
def test_names_are_checked_before_any_work(word: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        check_config(resolve_words(word).config)
    assert said in str(error.value)


@pytest.mark.parametrize("objective", ["ect", "shortcut", "mean_flow", "hybrid", "vlb"])
@pytest.mark.parametrize(
    ("domain", "process", "words"),
    [("image", "masked", {"process": "masked"}), ("molecule", "joint", {"data.bonds": "true"})],
)
def test_objectives_of_gaussian_diffusion_name_the_process_that_lacks_them(
    domain: str, process: str, words: dict[str, str], objective: str
) -> None:
    said = f"loss.objective={objective}: only process=gaussian has it. process={process} .* leave out loss.objective"
    config = resolve(domain, words={**words, "loss.objective": objective}).config
    with pytest.raises(UserError, match=said):
        check_config(config)
    check_config(resolve(domain, words=words).config)


def test_an_unknown_objective_of_another_process_is_unknown() -> None:
    with pytest.raises(UserError, match=r"Unknown objective .mean_flw.\. Did you mean .mean_flow."):
        check_config(resolve("image", words={"process": "masked", "loss.objective": "mean_flw"}).config)
