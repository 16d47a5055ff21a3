"""Proofs over all combinations of fact values (design, "Knowledge as data, with proofs")."""
