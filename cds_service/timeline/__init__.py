"""One patient's story on one picture: what a card rests on, by date."""
