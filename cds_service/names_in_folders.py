"""What the software looks up in a knowledge folder by a name of its own.

A folder may lack a fact, a number or an option named here where nothing in it asks for one; the
loader holds that (`knowledge_loading/needed.py`).
"""

from collections.abc import Mapping

BUNDLED_TOPIC = "lumbar-mri"
"""The folder that is always there."""

PREGNANT = "pregnant"
"""Fact; while it is true nothing with ionising radiation is proposed (design, proof 6)."""
PEDIATRIC = "pediatric"
"""Fact; while it is true nothing is rated (proof 6)."""
EMERGENCIES = ("cauda_equina", "motor_deficit")
"""Facts that nothing may delay (decision table §0, principle 3); a folder marks others of its own
with `emergency: true`."""
PRIOR = "prior_mri"
"""Fact; its date is that of the exam with which a repeat is compared."""
DUPLICATE = "duplicate_in_flight"
"""Fact; its date is that of the order that is open already."""
CARE_DAYS = "conservative_days"
"""Threshold: days of conservative care before MRI is rated for a procedure."""
CONFIRM_CARDS = "confirm_cards"
"""Option: whether info cards that only confirm are shown; without it they are."""
NO_RADIATION = "O"
"""Relative radiation level of an exam without ionising radiation."""
REFERRAL_CODES = ("referral", "referral-reason")
"""Codes that A5 writes (`suggested_codes`)."""

PHRASES = frozenset(
    {
        *("usually-appropriate", "may-be-appropriate", "usually-not-appropriate"),
        *("not-covered", "insufficient-information"),
        *("protocol.without", "protocol.with", "protocol.without-and-with"),
        *("protocol.unspecified", "protocol.multiregion", "variant"),
        *("provisional", "rests_on_weak", "provisional_repeat"),
        *("order", "this_order", "stated", "possible", "more", "no_date"),
        *("ago_days", "ago_month", "ago_months", "ago_less"),
        *("open_question", "open_unread", "softened", "softened_unread"),
        *("dated_already", "contrast_conflict", "why", "question"),
        *("also", "partial", "absent", "not_found", "not_found_limits", "unreadable", "unchecked"),
        *("prior", "prior_none", "prior_outside", "prior_ordered", "prior_since", "prior_report"),
        *("contrast.without", "contrast.with", "contrast.without-and-with"),
        *("contrast.unspecified", "contrast.multiregion"),
        *("nothing_named", "safety_also", "alternatives", "radiation", "references"),
    }
)
"""Fixed sentences that every folder must have."""
OPTIONAL_PHRASES = ("element.", "prior_date.", "alternatives.")
"""Beginnings of phrases that say something more exactly where a folder has them."""

WORDS_OF_SUGGESTIONS: Mapping[str, tuple[str, ...]] = {
    "A1": ("{key}.action",),
    "A2": ("{key}.action", "{key}.order", "codes_removed", "contrast_elsewhere"),
    "A3": ("{key}.action", "{key}.order", "codes_removed", "contrast_elsewhere"),
    "A4": ("A4.action",),
    "A5": ("A5.action", "A5.order", "A5.reason"),
    "A6": ("{key}.action",),
    "A7": ("A7.action",),
}
"""Texts of a suggestion beside its label, by kind; `{key}` is the kind with its target."""
