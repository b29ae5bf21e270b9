"""`python -m clawvm_es`."""

from clawvm_es.cli.main import main

if __name__ == "__main__":
    main()
