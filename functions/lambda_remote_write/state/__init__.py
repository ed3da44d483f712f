"""What is remembered between environments: the state object, shards, and how far each job has come."""
