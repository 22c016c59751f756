"""Evidence: metrics, the certificate, and what a candidate costs."""
