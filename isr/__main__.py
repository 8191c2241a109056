"""``python -m isr`` is the command ``isr``."""

from isr.cli import main

if __name__ == "__main__":
    main()
