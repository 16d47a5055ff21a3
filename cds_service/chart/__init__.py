"""From what a client sent to `Chart`: raw FHIR JSON in, frozen records out, never an exception."""
