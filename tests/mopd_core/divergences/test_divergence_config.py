"""Options: what is refused and in what words, what the factories build, and that neither needs torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from mopd_core.divergences import config as configs
from mopd_core.divergences import factories

NAMED = [
    (configs.ForwardKLConfig, factories.build_forward_kl, "ForwardKL"),
    (configs.ReverseKLConfig, factories.build_reverse_kl, "ReverseKL"),
    (configs.JSDConfig, factories.build_jsd, "JSD"),
    (configs.SkewKLConfig, factories.build_skew_kl, "SkewForwardKL"),
    (configs.TotalVariationConfig, factories.build_total_variation, "TotalVariation"),
    (configs.AlphaConfig, factories.build_alpha, "Renyi"),
]


@pytest.mark.parametrize("weight", [0, 1, -0.1, 1.5])
def test_a_jsd_weight_outside_the_open_interval_names_the_kls(weight):
    with pytest.raises(ValidationError, match=r"forward-kl.*reverse-kl"):
        configs.JSDConfig(weight=weight)


@pytest.mark.parametrize("order", [1, 1.0005, 0.9995])
def test_a_renyi_order_at_1_names_the_kls(order):
    with pytest.raises(ValidationError, match=r"reverse-kl.*forward-kl"):
        configs.AlphaConfig(order=order)


def test_a_single_renormalised_outcome_is_refused():
    with pytest.raises(ValidationError, match="always be 0"):
        configs.JSDConfig(top_k=1, remainder="renormalise")


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (configs.JSDConfig, {"top_k": 0}),
        (configs.JSDConfig, {"temperature": 0}),
        (configs.JSDConfig, {"temperature": float("inf")}),
        (configs.JSDConfig, {"remainder": "none"}),
        (configs.JSDConfig, {"support": "both"}),
        (configs.JSDConfig, {"wieght": 0.5}),
        (configs.ForwardKLConfig, {"weight": 0.5}),
        (configs.SkewKLConfig, {"skew": 0}),
        (configs.SkewKLConfig, {"skew": 1}),
        (configs.SkewKLConfig, {"direction": "both"}),
        (configs.AlphaConfig, {"order": 0}),
    ],
)
def test_what_is_not_allowed_is_refused(config, options):
    with pytest.raises(ValidationError):
        config(**options)


@pytest.mark.parametrize(("config", "build", "name"), NAMED)
def test_factories_build_what_they_name(config, build, name):
    assert type(build(config(), context=None)).__name__ == name


def test_factories_pass_the_options_on():
    assert factories.build_jsd(configs.JSDConfig(weight=0.2), context=None).weight == 0.2
    skew = factories.build_skew_kl(configs.SkewKLConfig(skew=0.3, direction="reverse"), context=None)
    assert (type(skew).__name__, skew.skew) == ("SkewReverseKL", 0.3)
    renyi = factories.build_alpha(configs.AlphaConfig(order=2, direction="forward"), context=None)
    assert (renyi.order, renyi.direction) == (2.0, "forward")


@pytest.mark.parametrize(("config", "build", "name"), NAMED)
def test_every_option_is_shared_typed_and_documented(config, build, name):
    assert issubclass(config, configs.DivergenceConfig)
    assert all(field.description for field in config.model_fields.values())
    assert config.__doc__.split("\n")[0].endswith(".")


def test_options_and_factories_import_no_torch():
    code = "import sys, mopd_core.divergences.config, mopd_core.divergences.factories; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
