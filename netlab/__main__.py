"""`python -m netlab` is the command `netlab`."""

from netlab.commands.main import main

if __name__ == "__main__":
    main()
