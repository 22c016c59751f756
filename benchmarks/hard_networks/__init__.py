"""Networks on which plain int8 quantization is known to fail, built and trained here."""
