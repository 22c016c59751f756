"""The table of delegates: every way an engine reaches hardware."""
