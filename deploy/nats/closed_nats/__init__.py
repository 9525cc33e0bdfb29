"""A closed deployment of NATS for Precedent: who may do what, and the files that make it so."""
