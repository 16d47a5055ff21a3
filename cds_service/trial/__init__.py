"""What an EHR does: read a patient from an open FHIR server, order an MRI, fire the hook."""
