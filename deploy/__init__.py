"""`make deploy`: from a config to a stack that sends its samples. It checks first, asks once, and ends with what to do
next. `python -m deploy` reads the variables of the Makefile from its environment."""
