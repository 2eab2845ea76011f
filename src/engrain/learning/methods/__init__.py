"""Ways to learn from a teacher. One file each: a frozen dataclass whose fields are its hyperparameters."""

from engrain.learning.methods.forward_kl import ForwardKL
from engrain.learning.methods.jsd import JSD
from engrain.learning.methods.off_policy import OffPolicy
from engrain.learning.methods.policy_gradient import PolicyGradient
from engrain.learning.methods.reverse_kl import ReverseKL

__all__ = ["JSD", "ForwardKL", "OffPolicy", "PolicyGradient", "ReverseKL"]
