"""The seed document's entry point: `python cli/partitioner.py --model vit_b_16 ...`."""

from fuseline.cli.partitioner import main

if __name__ == "__main__":
    main()
