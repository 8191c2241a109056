"""Work by actors on many machines: who is asked again when one of them dies, a pool of them, and Ray, which places them."""
