"""What the kinds of the emergency rows share: the fact, or its component."""

from enum import StrEnum


class SignQuestion(StrEnum):
    """Whether the fact itself is asked for, or only a sign that falls short of it."""

    FACT = "fact"
    COMPONENT = "component"
    """Something of the kind is on record but misses the window or the condition."""
