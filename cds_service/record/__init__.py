"""What is kept of decisions and feedback: written before the answer, read by the site alone."""
