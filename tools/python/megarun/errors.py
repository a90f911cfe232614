"""The exceptions of megarun, one for each error code of the library."""
from __future__ import annotations


class MegaError(Exception):
    """Something went wrong; the text is one sentence that names the file or input.

    All exceptions of this package derive from it.  `name` is the constant of mega.h, such as
    "MEGA_ERR_INPUT", or "" for an error that the library does not know.
    """

    name = ''


class FileError(MegaError, OSError):
    """The system could not open, read, map or write a file."""

    name = 'MEGA_ERR_IO'


class FormatError(MegaError, ValueError):
    """A file is not what it claims to be: it is corrupt, truncated or hostile."""

    name = 'MEGA_ERR_FORMAT'


class UnsupportedError(MegaError):
    """A file or an option is well formed, but of a kind that is not handled."""

    name = 'MEGA_ERR_UNSUPPORTED'


class ModelError(MegaError, ValueError):
    """The configuration and the tensors of a model do not fit each other."""

    name = 'MEGA_ERR_MODEL'


class InputError(MegaError, ValueError):
    """The model cannot take this input."""

    name = 'MEGA_ERR_INPUT'


class LimitError(MegaError, ValueError):
    """Something is larger than a limit, such as `max_memory`, allows."""

    name = 'MEGA_ERR_LIMIT'


class OutOfMemoryError(MegaError, MemoryError):
    """An allocation failed."""

    name = 'MEGA_ERR_MEMORY'


class ArgumentError(MegaError, ValueError):
    """The caller asked for something that this model, or any model, cannot do."""

    name = 'MEGA_ERR_ARGUMENT'


class ForkError(MegaError, RuntimeError):
    """The process was forked while the model was in use; load it again in the child."""


class ConvertError(MegaError, ValueError):
    """mega-convert could not convert a checkpoint; the text is what it said."""


class MegaWarning(UserWarning):
    """An input was accepted although something is wrong with it."""


BY_NAME: dict[str, type[MegaError]] = {
    kind.name: kind for kind in (FileError, FormatError, UnsupportedError, ModelError, InputError,
                                 LimitError, OutOfMemoryError, ArgumentError)}
