"""`python -m imaging_hub` is `imaging-hub`."""

from imaging_hub.cli import main

main()
