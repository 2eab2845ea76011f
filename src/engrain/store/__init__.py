"""Where records rest: one SQLite file per home folder or a PostgreSQL database, and the audit trail that proves nothing was lost or altered.

`SqlStore` is the name to know; it implements `engrain.protocols.Store`. Content that must be forgettable lives apart
from the ledger, which keeps hashes and reasons only. `home_lock` keeps two consolidations from running on one home.
"""

from engrain.store.jobs import Job
from engrain.store.lineage import Node
from engrain.store.lock import home_lock
from engrain.store.pointer import Move
from engrain.store.sql import SqlStore

__all__ = ["Job", "Move", "Node", "SqlStore", "home_lock"]
