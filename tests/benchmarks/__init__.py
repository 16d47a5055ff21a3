"""How fast the service is, next to what Python could do at best: `make bench`, `PERFORMANCE.md`."""
