"""Write requests that wait on a store until the receiver takes them."""
