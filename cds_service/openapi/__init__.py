"""The HTTP surface of the service as an OpenAPI document."""
