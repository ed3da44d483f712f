"""ACT 3: bytes -> outcome. `deliver` sends requests in order, `attempt` is one POST, `classify` reads its status."""
