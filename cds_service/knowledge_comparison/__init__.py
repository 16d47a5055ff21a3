"""What differs between two knowledge folders: content, cases, and regions of the fact space."""
