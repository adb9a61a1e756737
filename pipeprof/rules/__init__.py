"""Rules: pure judgements on an Analysis, one in each file, run by ``engine.judge``. Nothing here measures or proposes code."""
