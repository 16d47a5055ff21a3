"""From a folder of YAML, JSON and CSV to `Knowledge`, every mistake named file:line."""
