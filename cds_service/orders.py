"""The draft orders of the hook: which are a lumbar MRI, of which protocol, for what reason."""
