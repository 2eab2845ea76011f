"""Everything engrain raises on purpose, on one screen.

EngrainError                    catch this to catch them all
├── InputError (ValueError)     what was asked cannot be done; the message names the value and the remedy
│   ├── ScopeError              a record of one tenant or user was asked for by another
│   ├── NotFound (LookupError)  no such record, version or adapter
│   └── FormatError             a file or folder is not what it should be (binary, truncated, no chat template)
├── BatchRefused                a prepared batch is unfit to train on; the live version stays
├── TrainingFailed              training diverged or produced nothing; the live version stays
├── UpstreamFailed              the server that answers refused, broke off or is not there
├── Conflict                    what a change was worked out from has changed meanwhile; nothing was written
├── HomeBusy                    another process holds this home folder
└── StoreError                  the database could not acknowledge a record (disk full, corrupt)
    └── LedgerBroken            the audit trail was edited, cut or reordered
"""


class EngrainError(Exception):
    """The root: catch this to catch everything engrain raises on purpose."""


class InputError(EngrainError, ValueError):
    """What was asked cannot be done as asked; the message names the value and the remedy."""


class ScopeError(InputError):
    """A record of one tenant or user was asked for by another."""


class NotFound(InputError, LookupError):
    """No such record, version or adapter."""


class FormatError(InputError):
    """A file or folder is not what it should be: binary, truncated, without a chat template."""


class BatchRefused(EngrainError):
    """A prepared batch is unfit to train on; nothing was trained and the live version stays."""


class TrainingFailed(EngrainError):
    """Training diverged or produced nothing usable; the live version stays."""


class UpstreamFailed(EngrainError):
    """The OpenAI-compatible server that answers refused the request, broke off or cannot be reached."""

    def __init__(self, message: str, *, status: int = 502) -> None:
        """`status` is what a caller over HTTP is told: the server's own of a request that it found wrong."""
        super().__init__(message)
        self.status = status


class Conflict(EngrainError):
    """What a change was worked out from has changed meanwhile; nothing was written. Look again, and repeat it if it still fits."""


class HomeBusy(EngrainError):
    """Another process is writing to this home folder."""


class StoreError(EngrainError):
    """The database could not acknowledge a record; the caller must treat it as not written."""


class LedgerBroken(StoreError):
    """The audit trail was edited, cut or reordered."""
