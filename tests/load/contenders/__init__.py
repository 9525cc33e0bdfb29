"""What is measured: Precedent, a stand-in of the service that it replaces, and a peer written in an afternoon."""
