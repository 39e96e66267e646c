"""Lottery tickets: subnetworks that train well from their own initial weights, and the controls that show it."""
