"""What the EHR at the other end can take of a card, and what the site has mapped for it.

Source: contract, "client profile"; `ehr-integration.md` §1, rows "cards", "actions" and "override
reasons".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SELECTION_AT_MOST_ONE = "at-most-one"
SELECTION_ANY = "any"


class ClientProfile(StrEnum):
    """What the EHR at the other end can take."""

    STANDARD = "standard"
    """All of CDS Hooks 2.0."""
    EPIC = "epic"
    """One action a suggestion and `selectionBehavior: any`; orders are removed, or created from
    the site's preference list, never updated; override codes are those that the site mapped."""
    TEXT_ONLY = "text-only"
    """No suggestions: the text alone is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PamaClaim:
    """What a site states beside each rating of an order (Argonaut PAMA guide, extension table)."""

    qcdsm: str
    """CMS G-code of the site's qualified clinical decision support mechanism. Without one nothing
    may be claimed."""
    auc_applied: str = ""
    """URI of the appropriate use criteria; empty: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardForm:
    """The form of the cards for one client, and whether its orders are rated."""

    profile: ClientProfile = ClientProfile.STANDARD
    kinds: frozenset[str] | None = None
    """Kinds of suggestions (`A1` to `A7`) that the site wants; None: all."""
    preference_list_codes: Mapping[str, str] = field(default_factory=dict)
    """Kind → code of the site's preference list."""
    override_codes: Mapping[str, str] = field(default_factory=dict)
    """Our override code (`O1` …) → the code that the site mapped in its EHR."""

    source_url: str = ""
    """Where the rules of this service can be read; empty: where the knowledge says."""
    pama: PamaClaim | None = None
    """Rate each order in the order itself; None: the extension is not claimed."""

    @property
    def selection_behavior(self) -> str:
        """How many suggestions of a card may be accepted."""
        is_any = self.profile is ClientProfile.EPIC
        return SELECTION_ANY if is_any else SELECTION_AT_MOST_ONE

    def override_code(self, ours: str) -> str | None:
        """Return the code to send for an override reason of ours; None leaves it out.

        Epic shows a reason only if the site has mapped its code; one that is not mapped would
        reach nobody.
        """
        return self.override_codes.get(ours) if self.profile is ClientProfile.EPIC else ours


STANDARD_FORM = CardForm()
