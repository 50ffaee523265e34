"""What Vigia costs, measured on this machine: the figures come from here, the tests assert behaviour."""
