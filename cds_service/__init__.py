"""Imaging decision support at order time: CDS Hooks in, one dated, cited card out."""

__version__ = "0.1.0"
