"""What a committee sees of a knowledge folder: the check, its cases and the review page."""
