"""The service by its command, but no worker is ever replaced: so memory that grows shows."""

from cds_service import serving
from cds_service.cli import main

_NEVER = 10**9

if __name__ == "__main__":
    serving._CALLS_BEFORE_RECYCLING = _NEVER
    main()
