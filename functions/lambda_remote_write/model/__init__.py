"""The values that travel between the stages of a push. They import nothing of ours."""
