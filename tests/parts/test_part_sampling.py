"""How parts are sampled: options of a request, and keys that have no effect."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from polydiff.config.merge import resolve
from polydiff.config.processes import check_used, register_built_in
from polydiff.contract.sections.run import Config
from polydiff.core.space import Euclidean
from polydiff.model.sample_section import section
from polydiff.parts.joint.checks import check_joint
from polydiff.parts.joint.part_sampling import sampling_of, with_lead_options
from polydiff.parts.kernel import KERNELS, Source, is_by_size, make_kernel
from polydiff.parts.network import level_conditions
from polydiff.parts.schedule import LEVEL_SCHEDULES
from polydiff.support.errors import UserError

register_built_in()


def molecules(**values: Any) -> Config:
    return resolve("molecule", values={"data.bonds": True, **values}).config


def test_options_of_a_part_change_those_that_are_configured() -> None:
    config = molecules(**{"sample.options": {"tau": 1.0, "bonds.temperature": 0.5, "atoms": {"eta": 3}}})
    assert sampling_of(config, "bonds") == ("remask", {"eta": 20, "temperature": 0.5})
    assert sampling_of(config, "atoms") == ("remask", {"eta": 3})
    assert with_lead_options(config).sample.options == {"tau": 1.0}


def test_another_sampler_of_a_part_drops_the_options_of_the_configured_one() -> None:
    config = molecules(**{"sample.options": {"bonds.sampler": "ancestral", "bonds.top_p": 0.9}})
    assert sampling_of(config, "bonds") == ("ancestral", {"top_p": 0.9})
    check_joint(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bonds.temprature": 0.5}, "temprature"),
        ({"bonds.sampler": "first_hitting"}, "a call a site"),
        ({"positions.tau": 0.5}, "positions is gaussian"),
        ({"bonds": 3}, "name an option of the part"),
    ],
)
def test_wrong_options_of_parts_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_joint(molecules(**{"sample.options": options}))


def test_keys_of_a_gaussian_part_are_errors_if_the_first_part_is_of_letters() -> None:
    graphs = molecules(**{"data.bonds": False, "data.positions": False})
    for key in ("sample.sampler", "schedule", "loss.norm", "sample.spacing"):
        with pytest.raises(UserError, match=rf"{key} has no effect: the first part, atoms, is masked"):
            check_used(graphs, [key])
        check_used(molecules(), [key])
    with pytest.raises(UserError, match=r"parts\.atoms\.sampler"):
        section(graphs, {"sampler": "heun"})
    with pytest.raises(UserError, match=r"such as atoms\.temperature"):
        check_joint(molecules(**{"data.positions": False, "sample.options": {"temperature": 0.9}}))


def test_samplers_say_whether_they_call_the_network_once_a_site() -> None:
    samplers = KERNELS["masked"].samplers
    for name in samplers:
        few, many = (len(samplers[name]([1.0, 0.5, 0.0], sites)) for sites in (1, 50))
        assert is_by_size(samplers[name]) == (few != many)


def test_the_logistic_schedule_is_logistic_in_the_odds_of_time() -> None:
    t = torch.tensor([0.03, 0.2, 0.2 + 1e-6, 0.7], dtype=torch.float64)
    found = torch.logit(LEVEL_SCHEDULES["logistic"](t, middle=0.2, power=1.7))
    assert found.tolist() == pytest.approx((1.7 * (torch.logit(t) - torch.logit(t[1]))).tolist(), abs=1e-12)


def test_networks_are_told_levels_that_the_first_one_does_not_say() -> None:
    def told(**values: Any) -> list[str]:
        return list(level_conditions(molecules(**values)))

    uniform = {"parts.atoms.process": "uniform", "parts.bonds.process": "uniform"}
    apart = {"coupling.same": 0.5, "coupling.apart": 0.5}
    assert told(**uniform) == told(**apart) == []
    assert told(**uniform, **apart) == ["_level_atoms", "_level_bonds"]
    graphs = {"data.bonds": False, "data.positions": False}
    assert told(**uniform, **apart, **graphs) == ["_level_bonds"]


def test_a_part_of_letters_over_real_numbers_is_an_error() -> None:
    source = Source({}, Euclidean(2, (3,)), {})
    with pytest.raises(UserError, match=r"parts\.x\.process=masked needs states that are letters.*Euclidean"):
        make_kernel("masked", source, "parts.x.process")
