"""Engine that lets another engine work in a pool of Ray actors. Importing this package does not import Ray."""
