"""Errors for people: each message says what was wrong, which value, and what to do."""


class UserError(Exception):
    """What the person at the keyboard can mend; shown as a line, without a traceback."""


class InputError(UserError):
    """An input file or artifact is missing, damaged, or not what the stage needs."""


class ParameterError(UserError):
    """A parameter is unknown, of the wrong type or out of range."""


class EnvironmentMissingError(UserError):
    """A simulator cannot start on this machine."""


class EngineError(UserError):
    """A unit of work could not be done on any worker."""


class SimulatorDiedError(Exception):
    """A simulator's own process is gone: whatever it was doing has to be done again."""


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM: a BaseException, so that no handler for errors swallows it."""
