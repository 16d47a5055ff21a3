"""From a decision to cards and suggestions in wire form."""
