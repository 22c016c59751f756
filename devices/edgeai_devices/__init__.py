"""What edgeai knows of devices: one profile per device, with sources and how far it was tried."""
