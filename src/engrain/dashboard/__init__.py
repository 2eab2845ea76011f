"""A window on one home, in the browser: what it learned, on what evidence, and the levers an operator has.

Pages are made on the server and read without JavaScript; `engrain.service` mounts them beside the gateway at `/dashboard`.
"""

from engrain.dashboard.app import create
from engrain.dashboard.desk import Desk

__all__ = ["Desk", "create"]
