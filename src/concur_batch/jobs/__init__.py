"""Job files: from JSONL and Parquet rows to checked tasks. Nothing is imported here, so that each module costs only itself."""
