"""The highest noise level that data need, and training times that reach it."""

from __future__ import annotations

import math
import warnings
from statistics import NormalDist

import pytest

from polydiff.contract.data.noise_range import needed, range_facts, suited_range, suited_to
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.training import LossConfig
from polydiff.domains.audio.config import AudioConfig
from polydiff.domains.image.config import ImageConfig

FREE = {"schedule_options", "loss.times", "loss.times_options"}


def test_the_prior_differs_from_noisy_data_by_less_than_a_thousandth_of_a_nat() -> None:
    for principal in (0.5, 2.2, 34.0):
        r = (principal / needed(principal)) ** 2
        assert (r - math.log1p(r)) / 2 < 1e-3


def test_a_range_that_suffices_stays() -> None:
    assert suited_range(ImageConfig(), 2.2, FREE) == {}
    assert suited_range(ImageConfig(), 5.0, FREE) == {}


def test_a_range_that_is_too_small_is_raised_and_the_quantiles_of_training_times_go_with_it() -> None:
    config = ImageConfig()
    found = suited_range(config, 34.0, FREE)
    assert found["schedule_options"] == {"sigma_min": 0.002, "sigma_max": 136.0}
    old, new = config.loss.times_options, found["loss.times_options"]
    z = (math.log(20) - old["mean"]) / old["std"]
    assert new["mean"] + z * new["std"] == pytest.approx(math.log(136), abs=0.01)
    assert new["mean"] - z * new["std"] == pytest.approx(old["mean"] - z * old["std"], abs=0.01)


def test_what_the_user_set_stays_and_a_warning_says_what_to_type() -> None:
    with pytest.warns(UserWarning, match=r"set schedule_options\.sigma_max=136\."):
        assert suited_range(ImageConfig(), 34.0, FREE - {"schedule_options"}) == {}
    assert suited_range(ImageConfig(), 34.0, FREE - {"loss.times"}).keys() == {"schedule_options"}


def test_a_schedule_without_this_option_is_left_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert suited_range(ImageConfig(schedule="vp", schedule_options={}), 34.0, set()) == {}


def test_quantiles_of_a_normal_log_snr_move_like_those_of_log_sigma() -> None:
    config = AudioConfig()
    found = suited_range(config, 60.0, FREE)
    assert found["schedule_options"]["sigma_max"] == 240.0
    old, new = config.loss.times_options, found["loss.times_options"]
    z = (-2 * math.log(80) - old["mean"]) / old["std"]
    assert new["mean"] + z * new["std"] == pytest.approx(-2 * math.log(240), abs=0.01)
    assert new["mean"] - z * new["std"] == pytest.approx(old["mean"] - z * old["std"], abs=0.01)


def test_statistics_of_an_earlier_run_suit_nothing() -> None:
    assert suited_to(ImageConfig(), {"std": 1.0}, FREE) == {}
    assert suited_to(ImageConfig(), {"principal_std": 34.0}, FREE) == suited_range(ImageConfig(), 34.0, FREE)


@pytest.mark.parametrize(
    ("config", "said", "words"),
    [
        (ImageConfig(), (), "136, 4 times that deviation, set automatically: 20 of preset quick is too low"),
        (ImageConfig(), ("schedule_options.sigma_max",), "20, which is too low: leave it out, or set"),
        (AudioConfig(schedule_options={"sigma_max": 200.0}), (), "200, as configured"),
        (ImageConfig(schedule="vp", schedule_options={}), (), "that of schedule=vp; at least 136 suits the data"),
    ],
)
def test_the_highest_noise_level_has_its_reason(config: Config, said: tuple[str, ...], words: str) -> None:
    facts = range_facts(config, 34.0, said)
    assert facts["largest principal standard deviation"] == 34.0
    assert words in facts["sigma_max"]


def above(options: dict[str, float], level: float) -> float:
    """Return the share of log-normal levels above a level."""
    return 1 - NormalDist(options["mean"], options["std"]).cdf(math.log(level))


@pytest.mark.parametrize("principal", [5.5, 9.0, 22.7, 34.0, 250.0])
def test_the_requested_share_of_training_levels_lies_above_the_largest_deviation(principal: float) -> None:
    old = ImageConfig().loss.times_options
    found = suited_range(ImageConfig(), principal, FREE, 0.1)
    new = found["loss.times_options"]
    assert above(new, principal) == pytest.approx(0.1, abs=1e-3)
    lowest = math.exp(2 * old["mean"] - math.log(20))  # the mirror of the old upper end
    assert above(new, lowest) == pytest.approx(above(old, lowest), abs=1e-4)
    assert found["schedule_options"] == suited_range(ImageConfig(), principal, FREE)["schedule_options"]


def test_the_share_is_the_same_in_words_of_the_log_snr() -> None:
    options = suited_range(AudioConfig(), 60.0, FREE, 0.1)["loss.times_options"]
    share = NormalDist(options["mean"], options["std"]).cdf(-2 * math.log(60))
    assert share == pytest.approx(0.1, abs=1e-3)


def test_training_levels_that_are_high_enough_stay() -> None:
    loss = LossConfig(times="log_normal", times_options={"mean": 2.5, "std": 1.2})
    config = ImageConfig(loss=loss)
    assert suited_range(config, 20.0, FREE, 0.1)["loss.times_options"] == loss.times_options
