"""Ways to learn from a teacher. One file each: a frozen dataclass whose fields are its hyperparameters."""

from typing import Any

from engrain.errors import InputError
from engrain.learning.methods.forward_kl import ForwardKL
from engrain.learning.methods.jsd import JSD
from engrain.learning.methods.off_policy import OffPolicy
from engrain.learning.methods.policy_gradient import PolicyGradient
from engrain.learning.methods.reverse_kl import ReverseKL
from engrain.protocols import Method

METHODS: dict[str, type[Any]] = {
    "forward_kl": ForwardKL,
    "reverse_kl": ReverseKL,
    "jsd": JSD,
    "policy_gradient": PolicyGradient,
    "off_policy": OffPolicy,
}
"""By the name that settings give them."""


def method_named(name: str, **options: Any) -> Method:
    """The method of this name with these hyperparameters; InputError, with what there is, for another."""
    if name not in METHODS:
        raise InputError(f"there is no learning method {name!r}; give one of {', '.join(METHODS)}")
    try:
        made: Method = METHODS[name](**options)
    except TypeError as error:
        raise InputError(f"method {name} does not take {options}: {error}") from error
    return made


__all__ = ["JSD", "METHODS", "ForwardKL", "OffPolicy", "PolicyGradient", "ReverseKL", "method_named"]
