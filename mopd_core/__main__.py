"""`python -m mopd_core` is `mopd`."""

from cli import main

if __name__ == "__main__":
    main()
