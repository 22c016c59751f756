"""`edgeai build`: what `edgeai.toml` asks for, as steps cached by content, with gates that what was made must pass."""
