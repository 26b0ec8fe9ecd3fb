"""From a law and runs to a fitted law: search, polish, seed blocks, intervals, identifiability."""
