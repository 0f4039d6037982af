"""The machinery of recording: stand-ins, the dispatch mode, one call -> one op."""
