"""Reading clinical text: clauses, negation, suspicion, history, durations, statements of care."""
