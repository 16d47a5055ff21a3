"""`python -m cds_service.test_ehr`: the process that `cds-service demo` starts."""

from cds_service.test_ehr.server import main

if __name__ == "__main__":
    main()
