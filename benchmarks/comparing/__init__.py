"""What the programs that compare measurements are made of: their pages, and the tools of others."""
