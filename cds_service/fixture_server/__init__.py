"""A real FHIR R4 server on loopback for the demo and the tests, misbehaving on demand."""
