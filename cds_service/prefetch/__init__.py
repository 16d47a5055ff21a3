"""Fills the gaps of prefetch from the EHR's FHIR server, within the time budget."""
